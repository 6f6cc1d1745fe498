"""What is known of the run's checkpoints and evaluations, in the database and in the schedule."""

from __future__ import annotations

import time
from collections.abc import Set
from functools import partial
from pathlib import Path
from typing import Literal

from ctv_engine.checkpoints.adapters import BaseModelError, base_of
from ctv_engine.checkpoints.pin import read_ahead, still_holds, unpin
from ctv_engine.checkpoints.watch import Sighting
from ctv_engine.models.processor_files import processor_digest, processor_source
from ctv_engine.runtime.messages import Checkpoint
from ctv_engine.service.alerting import Alerting, Notifier
from ctv_engine.service.debiasing import other_method_before
from ctv_engine.service.evaluations import Evaluations
from ctv_engine.service.judge import Judge, judged_by, mixed
from ctv_engine.service.judging import Judging
from ctv_engine.service.plans import Plans
from ctv_engine.service.sinks import Sinks, logged_of, open_sink
from ctv_engine.service.tracking import words_of
from ctv_engine.service.tracking_thread import TrackingThread
from ctv_engine.service.translate import versions_json
from ctv_engine.settings import Settings
from ctv_engine.store.imported import handed_over, write_series
from ctv_engine.store.judged import still_waits, versions_when_judged
from ctv_engine.store.rows import EventLevel, Mode
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite

REWRITTEN = (
    "its files were written to while it was scored, so that the scores may be of mixed weights;"
    " the training run rewrites checkpoints in place"
)


class Ledger:
    """Turns sightings into rows and work, and results into rows and ends.

    The database is the truth: what this object remembers can be rebuilt from it by :meth:`resume`.
    """

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        suite: Suite,
        gold: Suite | None,
        host: str,
        judge: Judge | None = None,
    ) -> None:
        self.writer = writer
        self._settings = settings
        plans = Plans(writer, settings)
        plans.register(suite, {"closed": "closed", "open": "open"})
        if gold is not None:
            plans.register(gold, {"gold": "open"})
        self._modes_asked = list(plans.asked)
        self.evaluations = Evaluations(
            writer,
            settings,
            plans,
            self.event,
            self._still_holds,
            self._evaluation_ended,
            self._checkpoint_done,
        )
        watched = settings.watched
        self._name = settings.name or watched.name or str(watched)
        judges = judged_by(
            judge.model if judge else None,
            versions_when_judged(writer, str(watched), suite.digest, gold.digest if gold else None),
        )
        gold_digest = gold.digest if gold else None
        warning = other_method_before(
            writer, settings.debias, str(watched), suite.digest, gold_digest
        )
        self.run_id = writer.open_run(
            name=self._name,
            checkpoint_dir=str(watched),
            suite_digest=suite.digest,
            gold_digest=gold_digest,
            config_json=settings.to_json(),
            versions_json=versions_json(judges),
            host=host,
        )
        self.tracking = TrackingThread(writer, self.run_id, settings.window, self.event)
        self.judging = Judging(
            writer,
            self.run_id,
            [suite, gold] if gold is not None else [suite],
            judge,
            self.event,
            self._judged,
            mixed(judges) if judge else None,
        )
        self.alerting = Alerting(
            writer,
            self.run_id,
            self.event,
            Notifier(self._name, settings.alert_command, settings.alert_every_s),
        )
        self.sinks = Sinks(
            {target: open_sink(target, self._name, settings.db) for target in settings.log_to}
        )
        self._rows: dict[Path, int] = {}
        self._newest: Checkpoint | None = None
        if warning is not None:
            self.event("warning", "debias", warning)

    # --- taking up an earlier engine's work ---------------------------------------------------

    def resume(self) -> tuple[dict[Path, float], list[int]]:
        """Queue what is unfinished; return the settled directories (with when) and all steps.

        A failed checkpoint whose directory is still there is looked at again.
        """
        self.writer.end_stale_workers(self.run_id)
        self.evaluations.debiasing.catch_up(self.run_id)
        settled: dict[Path, float] = {}
        pinned: set[str] = set()
        steps: list[int] = []
        for row in self.writer.query(
            "SELECT id, step, path, pin, digest, state, coalesce(ready_at, done_at, found_at)"
            " FROM checkpoints WHERE run_id = ? ORDER BY id",
            self.run_id,
        ):
            checkpoint_id, step, path_text, pin, digest, state, at = row
            path = Path(path_text)
            steps.append(step)
            if state in ("ready", "scoring", "skipped") and pin and Path(pin).is_dir():
                base = self._base_of(Path(pin))
                checkpoint = self._checkpoint(checkpoint_id, step, Path(pin), digest, base)
                pinned.add(pin)
                settled[path] = at
                if state != "skipped":
                    self.evaluations.queue(checkpoint, self._modes_of(checkpoint_id))
                self._hold(checkpoint)
            elif state in ("done", "skipped", "vanished"):
                settled[path] = at
            elif path.is_dir():
                self._rows[path] = checkpoint_id
            elif state != "failed":
                self._end_checkpoint(
                    checkpoint_id, "vanished", "deleted while no engine was running", step
                )
        for leftover in self._settings.pins.glob("*"):
            if str(leftover) not in pinned:
                unpin(leftover)
        self.tracking.ask()  # what the earlier engine may have had no time for
        return settled, steps

    def _base_of(self, pinned: Path) -> Path | None:
        """Return the base model of an adapter; where it is gone, the worker says so."""
        given = Path(self._settings.base) if self._settings.base else None
        try:
            return base_of(pinned, given)
        except (BaseModelError, OSError):
            return None

    def _modes_of(self, checkpoint_id: int) -> list[Mode]:
        rows = self.writer.query(
            "SELECT mode FROM evaluations WHERE checkpoint_id = ? AND schedule <> 'imported'",
            checkpoint_id,
        )
        return [mode for (mode,) in rows] or self._modes(checkpoint_id)

    # --- checkpoints --------------------------------------------------------------------------

    def see(self, sighting: Sighting) -> None:
        """Take note of a change in the watched directory."""
        step, path = sighting.step, sighting.path
        if sighting.kind == "unreachable":
            self.event("error", "watch", sighting.reason or "")
            return
        if sighting.kind == "missing":
            checkpoint_id = self.writer.add_checkpoint(self.run_id, step, str(path), sighting.at)
            self._end_checkpoint(checkpoint_id, "vanished", sighting.reason or "", step)
            return
        row = self._rows.get(path)
        if row is None:
            row = self.writer.add_checkpoint(self.run_id, step, str(path), sighting.at)
            self._rows[path] = row
        if sighting.kind == "writing":
            self.writer.set_checkpoint(row, "writing", sighting.reason)
        elif sighting.kind == "ready":
            self._ready(row, sighting)
        elif sighting.kind == "failed" or sighting.kind == "vanished":
            self._end_checkpoint(row, sighting.kind, sighting.reason or "", step)
            del self._rows[path]

    def _ready(self, checkpoint_id: int, sighting: Sighting) -> None:
        if sighting.pin is None:
            raise ValueError("a ready checkpoint has a pin")
        found = sighting.pin
        if self._answered_otherwise(checkpoint_id, found.digest):
            checkpoint_id = self.writer.add_checkpoint(
                self.run_id, sighting.step, str(sighting.path), sighting.at
            )
        columns = {
            "pin": str(found.directory),
            "digest": found.digest,
            "bytes": found.bytes,
            "ready_at": sighting.at,
        }
        read_ahead(found.directory)
        checkpoint = self._checkpoint(
            checkpoint_id, sighting.step, found.directory, found.digest, found.base
        )
        ordinal = self._ordinal(checkpoint_id)
        how = "copied" if found.copied else "pinned"
        if ordinal % self._settings.every and not sighting.last:
            reason = f"only every {self._settings.every}th checkpoint is scored"
            self.writer.set_checkpoint(checkpoint_id, "skipped", reason, **columns)
            self.event("info", "checkpoint", f"{sighting.path.name} skipped: {reason}")
        else:
            self.writer.set_checkpoint(checkpoint_id, "ready", None, **columns)
            size = f"{found.bytes / 1e6:,.1f} MB"
            text = f"{sighting.path.name} ready ({how}, {size})"
            self.event("info", "checkpoint", text, checkpoint_id)
            modes = self._modes(checkpoint_id, last=sighting.last)
            self.evaluations.queue(checkpoint, modes, retry=True)
        self._rows.pop(sighting.path, None)
        self._hold(checkpoint)

    def _answered_otherwise(self, checkpoint_id: int, digest: str) -> bool:
        """Tell whether a row that is taken up again has answers of other weights."""
        return bool(
            self.writer.query(
                "SELECT 1 FROM checkpoints c WHERE c.id = ? AND c.digest <> ? AND EXISTS (SELECT 1"
                " FROM evaluations e JOIN predictions p ON p.evaluation_id = e.id"
                " WHERE e.checkpoint_id = c.id)",
                checkpoint_id,
                digest,
            )
        )

    def _ordinal(self, checkpoint_id: int) -> int:
        """Return how many whole checkpoints of the run came before this one."""
        query = "SELECT count(*) FROM checkpoints WHERE run_id = ? AND id < ? AND digest NOT NULL"
        count: int = self.writer.query(query, self.run_id, checkpoint_id)[0][0]
        return count

    def _modes(self, checkpoint_id: int, *, last: bool = False) -> list[Mode]:
        gold_due = self._ordinal(checkpoint_id) // self._settings.every % self._settings.gold_every
        return [mode for mode in self._modes_asked if mode != "gold" or last or gold_due == 0]

    def _hold(self, checkpoint: Checkpoint) -> None:
        """Keep the newest checkpoint's pin, since it may turn out to be the run's last."""
        previous, self._newest = self._newest, checkpoint
        if previous is not None:
            self._unpin_if_done(previous)

    def finalise(self) -> None:
        """Make sure that the run's last checkpoint is scored in every mode."""
        if self._newest is not None and self._newest.directory.is_dir():
            self.evaluations.queue(self._newest, self._modes_asked)

    def _end_checkpoint(
        self, checkpoint_id: int, state: Literal["vanished", "failed"], reason: str, step: int
    ) -> None:
        self.writer.set_checkpoint(checkpoint_id, state, reason, done_at=time.time())
        level: EventLevel = "error" if state == "failed" else "warning"
        self.event(level, "checkpoint", f"step {step} {state}: {reason}", checkpoint_id)

    def _checkpoint(
        self, checkpoint_id: int, step: int, pin: Path, digest: str, base: Path | None
    ) -> Checkpoint:
        override = Path(self._settings.processor) if self._settings.processor else None
        try:
            processor = processor_digest(processor_source(pin, base, override))
        except OSError:
            processor = ""  # the worker will say what is wrong with it
        return Checkpoint(checkpoint_id, step, pin, digest, processor, base)

    # --- ends ---------------------------------------------------------------------------------

    def fail_checkpoint(self, checkpoint: Checkpoint, reason: str) -> None:
        """End every evaluation of a checkpoint that can't be evaluated. May be called again."""
        self.evaluations.fail_all(checkpoint, reason)
        self._end_checkpoint(checkpoint.checkpoint_id, "failed", reason, checkpoint.step)
        self.evaluations.forget(checkpoint)
        unpin(checkpoint.directory)

    def _evaluation_ended(self, evaluation_id: int, checkpoint: Checkpoint) -> None:
        mode, reason, makespan = self.writer.query(
            "SELECT mode, reason, makespan_s FROM evaluations WHERE id = ?", evaluation_id
        )[0]
        spent = f" in {makespan:.1f} s" if makespan is not None else ""
        # No word of idle workers: whether they are at another evaluation is known only later.
        text = f"step {checkpoint.step} {mode} done{spent}"
        if reason:
            text += f"; {reason}"
        level: EventLevel = "warning" if reason else "info"
        self.event(level, "evaluation", text, checkpoint.checkpoint_id)

        def tell() -> None:
            self.alerting.look(checkpoint.step, mode, checkpoint.checkpoint_id)
            self._scored(evaluation_id)

        self.tracking.ask(tell)

    def _judged(self, evaluations: Set[int]) -> None:
        def tell() -> None:
            for number in evaluations:
                self._scored(number)

        self.tracking.ask(tell)

    def _scored(self, evaluation_id: int) -> None:
        """Pass on the scores of an evaluation that has ended; a judge may bring more of them."""
        step, mode, checkpoint_id, state = self.writer.query(
            "SELECT c.step, e.mode, c.id, e.state FROM evaluations e"
            " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE e.id = ?",
            evaluation_id,
        )[0]
        if state == "done":
            if not still_waits(self.writer, evaluation_id):
                self.alerting.look_at_score(step, mode, checkpoint_id)
            self.sinks.log(lambda: logged_of(self.writer, evaluation_id))

    def tell_troubles(self) -> None:
        """Say what went wrong with what runs beside: alerts, trackers."""
        self.alerting.step()
        for problem in self.sinks.problems():
            self.event("warning", "log", problem)

    def take_imports(self) -> None:
        """Write the gold series that were handed over, and say so."""
        for path, series in handed_over(Path(self._settings.db)):
            done = write_series(self.writer, self.run_id, series)
            path.unlink(missing_ok=True)
            level: EventLevel = "info" if done.known else "warning"
            # Whoever follows the database reads all of it again on this event.
            tell = partial(self.event, level, "gold", words_of(series, done))
            self.tracking.ask(tell, anew=bool(done.known))

    def _still_holds(self, checkpoint: Checkpoint) -> bool:
        """Tell whether a checkpoint is what it was when it was pinned; else it has failed."""
        if still_holds(checkpoint.directory, checkpoint.digest, checkpoint.base):
            return True
        self.fail_checkpoint(checkpoint, REWRITTEN)
        return False

    def _checkpoint_done(self, checkpoint: Checkpoint) -> None:
        if self._newest is None or checkpoint.checkpoint_id != self._newest.checkpoint_id:
            unpin(checkpoint.directory)

    def _unpin_if_done(self, checkpoint: Checkpoint) -> None:
        if not self.evaluations.busy(checkpoint.checkpoint_id):
            unpin(checkpoint.directory)

    def event(
        self, level: EventLevel, kind: str, message: str, checkpoint_id: int | None = None
    ) -> None:
        """Store an event and print it for whoever runs the engine by hand."""
        self.writer.add_event(level, kind, message, checkpoint_id, run_id=self.run_id)
        print(f"{level}: {message}", flush=True)

    def close(self) -> None:
        """End what runs beside, and let go of the pin that was kept for the newest checkpoint."""
        self.judging.close()
        self.tracking.close()
        self.alerting.close()
        self.sinks.close()
        self.tell_troubles()
        if self._newest is not None:
            state = self.writer.query(
                "SELECT state FROM checkpoints WHERE id = ?", self._newest.checkpoint_id
            )
            if state[0][0] in ("done", "failed"):
                unpin(self._newest.directory)
        if self._settings.pins.is_dir() and not any(self._settings.pins.iterdir()):
            self._settings.pins.rmdir()
