"""What is known of the run's checkpoints and evaluations, in the database and in the schedule."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctv_engine.checkpoints.pin import unpin
from ctv_engine.checkpoints.watch import Sighting
from ctv_engine.runtime.costs import CostModel
from ctv_engine.runtime.leases import Patience
from ctv_engine.runtime.messages import Batch, Checkpoint, ItemResult, Task, TimedSpan, Unit
from ctv_engine.runtime.plan import plan
from ctv_engine.runtime.schedule import GivenUp, Scheduler
from ctv_engine.service.translate import (
    ItemIds,
    dataset_rows,
    item_rows,
    prediction_rows,
    recorded_seconds,
    seconds_of,
    span_rows,
    unanswered,
    versions_json,
)
from ctv_engine.settings import Settings
from ctv_engine.stats.track import Tracker
from ctv_engine.store.rows import EventLevel, Mode
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite


@dataclass(frozen=True, slots=True)
class _Asked:
    """One mode of the run: its batches and the ids of their items."""

    task: Task
    batches: tuple[Batch, ...]
    item_ids: ItemIds

    @property
    def items(self) -> int:
        return sum(len(batch.items) for batch in self.batches)


class Ledger:
    """Turns sightings into rows and work, and results into rows and ends.

    The database is the truth: what this object remembers can be rebuilt from it by :meth:`resume`.
    """

    def __init__(
        self, writer: Writer, settings: Settings, suite: Suite, gold: Suite | None, host: str
    ) -> None:
        self.writer = writer
        self._settings = settings
        self.scheduler = Scheduler(
            settings.schedule,
            costs=CostModel(recorded_seconds(writer.connection)),
            patience=Patience(settings.hang_s, settings.silence_s),
        )
        self._tracker = Tracker(settings.window)
        self._asked: dict[Mode, _Asked] = {}
        self._register(suite, {"closed": "closed", "open": "open"})
        if gold is not None:
            self._register(gold, {"gold": "open"})
        watched = settings.watched
        self.run_id = writer.open_run(
            name=settings.name or watched.name or str(watched),
            checkpoint_dir=str(watched),
            suite_digest=suite.digest,
            gold_digest=gold.digest if gold else None,
            config_json=settings.to_json(),
            versions_json=versions_json(),
            host=host,
        )
        self._rows: dict[Path, int] = {}
        self._newest: Checkpoint | None = None
        self._begun: set[int] = set()

    def _register(self, suite: Suite, modes: dict[Mode, Task]) -> None:
        ids = self.writer.add_suite(suite.digest, dataset_rows(suite), item_rows(suite))
        for mode, task in modes.items():
            batches = plan(suite, task, self._settings.batch_size)
            if batches:
                self._asked[mode] = _Asked(task, batches, ids)

    # --- taking up an earlier engine's work ---------------------------------------------------

    def resume(self) -> tuple[dict[Path, float], list[int]]:
        """Queue what is unfinished; return the settled directories (with when) and all steps.

        A failed checkpoint whose directory is still there is looked at again.
        """
        self.writer.end_stale_workers(self.run_id)
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
                checkpoint = Checkpoint(checkpoint_id, step, Path(pin), digest)
                pinned.add(pin)
                settled[path] = at
                if state != "skipped":
                    self._queue(checkpoint, self._modes_of(checkpoint_id))
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
        return settled, steps

    def _modes_of(self, checkpoint_id: int) -> list[Mode]:
        rows = self.writer.query(
            "SELECT mode FROM evaluations WHERE checkpoint_id = ?", checkpoint_id
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
        columns = {
            "pin": str(found.directory),
            "digest": found.digest,
            "bytes": found.bytes,
            "ready_at": sighting.at,
        }
        checkpoint = Checkpoint(checkpoint_id, sighting.step, found.directory, found.digest)
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
            self._queue(checkpoint, self._modes(checkpoint_id, last=sighting.last))
        self._rows.pop(sighting.path, None)
        self._hold(checkpoint)

    def _ordinal(self, checkpoint_id: int) -> int:
        """Return how many whole checkpoints of the run came before this one."""
        query = "SELECT count(*) FROM checkpoints WHERE run_id = ? AND id < ? AND digest NOT NULL"
        count: int = self.writer.query(query, self.run_id, checkpoint_id)[0][0]
        return count

    def _modes(self, checkpoint_id: int, *, last: bool = False) -> list[Mode]:
        gold_due = self._ordinal(checkpoint_id) // self._settings.every % self._settings.gold_every
        return [mode for mode in self._asked if mode != "gold" or last or gold_due == 0]

    def _hold(self, checkpoint: Checkpoint) -> None:
        """Keep the newest checkpoint's pin, since it may turn out to be the run's last."""
        previous, self._newest = self._newest, checkpoint
        if previous is not None:
            self._unpin_if_done(previous)

    def finalise(self) -> None:
        """Make sure that the run's last checkpoint is scored in every mode."""
        if self._newest is not None and self._newest.directory.is_dir():
            self._queue(self._newest, list(self._asked))

    def _queue(self, checkpoint: Checkpoint, modes: Iterable[Mode]) -> None:
        """Schedule what is missing of a checkpoint's evaluations; end those that miss nothing."""
        checkpoint_id = checkpoint.checkpoint_id
        under_way = self.scheduler.evaluations_of(checkpoint_id)
        added: list[int] = []
        for mode in modes:
            asked = self._asked.get(mode)
            if asked is None:
                continue
            evaluation_id = self.writer.add_evaluation(
                checkpoint_id, mode, self._settings.schedule, asked.items
            )
            state = self.writer.query("SELECT state FROM evaluations WHERE id = ?", evaluation_id)
            if evaluation_id in under_way or state[0][0] == "done":
                continue
            query = "SELECT item_id FROM predictions WHERE evaluation_id = ?"
            done = {item_id for (item_id,) in self.writer.query(query, evaluation_id)}
            rest = unanswered(asked.batches, asked.item_ids, done)
            self.scheduler.add(
                evaluation_id, checkpoint, asked.task, rest, background=mode == "gold"
            )
            added.append(evaluation_id)
        for evaluation_id in added:
            self.finish_if_complete(evaluation_id, checkpoint)
        if not under_way and not added:
            state = self.writer.query("SELECT state FROM checkpoints WHERE id = ?", checkpoint_id)
            if state[0][0] != "done":
                self._finish_checkpoint(checkpoint)

    def _end_checkpoint(
        self, checkpoint_id: int, state: Literal["vanished", "failed"], reason: str, step: int
    ) -> None:
        self.writer.set_checkpoint(checkpoint_id, state, reason, done_at=time.time())
        level: EventLevel = "error" if state == "failed" else "warning"
        self.event(level, "checkpoint", f"step {step} {state}: {reason}", checkpoint_id)

    # --- results ------------------------------------------------------------------------------

    def start(self, unit: Unit) -> None:
        """Note that a unit's evaluation has begun."""
        if unit.evaluation_id not in self._begun:
            self.writer.start_evaluation(unit.evaluation_id)
            self.writer.set_checkpoint(unit.checkpoint.checkpoint_id, "scoring")
            self._begun.add(unit.evaluation_id)

    def take(
        self, unit: Unit, worker_id: int, results: Sequence[ItemResult], spans: Sequence[TimedSpan]
    ) -> None:
        """Persist a unit's results; :meth:`finish_if_complete` is due next."""
        self._persist(unit, worker_id, results, spans)
        self.scheduler.complete(unit.unit_id, seconds_of(results))

    def give_up(self, lost: GivenUp, worker_id: int) -> None:
        """Persist that an item has no answer, and why; :meth:`finish_if_complete` is due next."""
        self._persist(lost.unit, worker_id, lost.results, ())
        for result in lost.results:
            text = f"{'/'.join(result.key)} set aside: {result.reason}"
            self.event("error", "item", text, lost.unit.checkpoint.checkpoint_id)

    def fail_checkpoint(self, checkpoint: Checkpoint, reason: str) -> None:
        """End every evaluation of a checkpoint that can't be evaluated. May be called again."""
        mine = self.scheduler.evaluations_of(checkpoint.checkpoint_id)
        for evaluation_id in mine:
            self.writer.finish_evaluation(evaluation_id, "failed", reason)
        self._end_checkpoint(checkpoint.checkpoint_id, "failed", reason, checkpoint.step)
        for evaluation_id in mine:
            self.scheduler.drop(evaluation_id)
        unpin(checkpoint.directory)

    def _persist(
        self, unit: Unit, worker_id: int, results: Sequence[ItemResult], spans: Sequence[TimedSpan]
    ) -> None:
        rows = prediction_rows(
            results,
            self._asked[self._mode(unit.evaluation_id)].item_ids,
            evaluation_id=unit.evaluation_id,
            batch_id=unit.batch.batch_id,
            worker_id=worker_id,
            attempt=unit.attempt,
        )
        self.writer.add_results(rows, span_rows(unit, worker_id, spans))

    def _mode(self, evaluation_id: int) -> Mode:
        query = "SELECT mode FROM evaluations WHERE id = ?"
        mode: Mode = self.writer.query(query, evaluation_id)[0][0]
        return mode

    def finish_if_complete(self, evaluation_id: int, checkpoint: Checkpoint) -> None:
        """End an evaluation of which nothing is waiting or under way. May be called again."""
        if not self.scheduler.is_finished(evaluation_id):
            return
        done, failed, planned = self.writer.query(
            "SELECT done, failed, planned FROM evaluations WHERE id = ?", evaluation_id
        )[0]
        reason = None
        if failed:
            why = self.writer.query(
                "SELECT reason FROM predictions WHERE evaluation_id = ? AND status = 'failed'"
                " ORDER BY id LIMIT 1",
                evaluation_id,
            )[0][0]
            reason = f"{failed} of {planned} items have no answer: {why}"
        self.writer.finish_evaluation(evaluation_id, "done" if done else "failed", reason)
        self.writer.add_correlations(self.run_id, self._tracker.update(self._finished_scores()))
        if self.scheduler.evaluations_of(checkpoint.checkpoint_id) == [evaluation_id]:
            self._finish_checkpoint(checkpoint)
        self._tell_end(evaluation_id, checkpoint, reason)  # the last write: it can't be repeated
        self.scheduler.drop(evaluation_id)

    def _tell_end(self, evaluation_id: int, checkpoint: Checkpoint, reason: str | None) -> None:
        mode, makespan, idle = self.writer.query(
            "SELECT mode, makespan_s, idle_fraction FROM evaluations WHERE id = ?", evaluation_id
        )[0]
        spent = f" in {makespan:.1f} s" if makespan is not None else ""
        waited = f", idle {idle:.1%}" if idle is not None else ""
        text = f"step {checkpoint.step} {mode} done{spent}{waited}"
        if reason:
            text += f"; {reason}"
        level: EventLevel = "warning" if reason else "info"
        self.event(level, "evaluation", text, checkpoint.checkpoint_id)

    def _finish_checkpoint(self, checkpoint: Checkpoint) -> None:
        states = self.writer.query(
            "SELECT mode, reason FROM evaluations WHERE checkpoint_id = ? AND state = 'failed'",
            checkpoint.checkpoint_id,
        )
        now = time.time()
        if states:
            reason = "; ".join(f"{mode}: {why}" for mode, why in states)
            self.writer.set_checkpoint(checkpoint.checkpoint_id, "failed", reason, done_at=now)
        else:
            self.writer.set_checkpoint(checkpoint.checkpoint_id, "done", None, done_at=now)
        if self._newest is None or checkpoint.checkpoint_id != self._newest.checkpoint_id:
            unpin(checkpoint.directory)

    def _unpin_if_done(self, checkpoint: Checkpoint) -> None:
        if not self.scheduler.evaluations_of(checkpoint.checkpoint_id):
            unpin(checkpoint.directory)

    def _finished_scores(self) -> list[tuple[str, str, int, str, float]]:
        return [
            (mode, dataset, step, metric, value)
            for mode, dataset, step, metric, value in self.writer.query(
                "SELECT mode, dataset, step, metric, value FROM trajectory"
                " WHERE run_id = ? AND state = 'done' AND metric IN ('accuracy', 'score')",
                self.run_id,
            )
        ]

    def refresh_scores(self) -> None:
        """Write the scores so far of every evaluation under way."""
        for evaluation_id in self.scheduler.begun():
            self.writer.refresh_scores(evaluation_id)

    def event(
        self, level: EventLevel, kind: str, message: str, checkpoint_id: int | None = None
    ) -> None:
        """Store an event and print it for whoever runs the engine by hand."""
        self.writer.add_event(level, kind, message, checkpoint_id, run_id=self.run_id)
        print(f"{level}: {message}", flush=True)

    def close(self) -> None:
        """Let go of the pin that was only kept because its checkpoint is the newest."""
        if self._newest is not None:
            state = self.writer.query(
                "SELECT state FROM checkpoints WHERE id = ?", self._newest.checkpoint_id
            )
            if state[0][0] in ("done", "failed"):
                unpin(self._newest.directory)
        if self._settings.pins.is_dir() and not any(self._settings.pins.iterdir()):
            self._settings.pins.rmdir()
