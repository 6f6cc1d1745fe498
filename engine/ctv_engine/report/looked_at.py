"""The checkpoint that stands for the run where only one can be shown."""

from __future__ import annotations

from dataclasses import dataclass

from ctv_engine.report.snapshot import Asked, Snapshot


@dataclass(frozen=True, slots=True)
class LookedAt:
    """The last checkpoint with both evaluations complete; else the last with one of them."""

    asked: Asked
    step: int
    closed_id: int | None
    open_id: int | None

    @property
    def ids(self) -> str:
        """The evaluations' ids, to stand in a query."""
        return ", ".join(str(one) for one in (self.closed_id, self.open_id) if one is not None)

    @property
    def name(self) -> str:
        """The checkpoint and which of its evaluations are complete, in words."""
        if self.closed_id is None or self.open_id is None:
            only = "open" if self.closed_id is None else "closed"
            return f"step {self.step} (only {only} is complete)"
        return f"step {self.step}"


def read_looked_at(snapshot: Snapshot, run_id: int) -> LookedAt | None:
    """Return the checkpoint; None before any closed or open evaluation is complete."""
    asked = snapshot.ask(
        "checkpoint-shown",
        f"""
        SELECT c.step, max(iif(e.mode = 'closed', e.id, NULL)) AS closed_id,
               max(iif(e.mode = 'open', e.id, NULL)) AS open_id
        FROM evaluations e JOIN checkpoints c ON c.id = e.checkpoint_id
        WHERE c.run_id = {run_id} AND e.state = 'done' AND e.mode IN ('closed', 'open')
        GROUP BY c.id ORDER BY count(*) DESC, c.step DESC, c.id DESC LIMIT 1
        """,
    )
    return LookedAt(asked, *asked.rows[0]) if asked.rows else None
