"""Evaluations: from "this checkpoint is whole" to leases, and from results to rows and ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ctv_engine.models.work import Work
from ctv_engine.runtime.costs import CostModel
from ctv_engine.runtime.leases import Patience
from ctv_engine.runtime.messages import (
    Batch,
    Checkpoint,
    ClosedPart,
    ItemResult,
    Lengths,
    Rotated,
    Task,
    TimedSpan,
    Unit,
    UnitDone,
)
from ctv_engine.runtime.schedule import GivenUp, Scheduler
from ctv_engine.service.debiasing import Debiasing
from ctv_engine.service.events import Tell
from ctv_engine.service.plans import Plans
from ctv_engine.service.translate import (
    prediction_rows,
    recorded_seconds,
    rotation_rows,
    seconds_of,
    span_rows,
    unanswered,
    work_rows,
)
from ctv_engine.settings import Settings
from ctv_engine.store.rows import EvaluationState, Mode
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite


@dataclass(frozen=True, slots=True)
class Entry:
    """What the schedule knows by one number, and which evaluations its units answer.

    Of a ``pair``: closed, open. Of ``measure``: the evaluation that is billed for its time.
    """

    number: int
    checkpoint: Checkpoint
    task: Task
    evaluations: tuple[int, ...]
    modes: tuple[Mode, ...]
    suite: Suite


class Evaluations:
    """Everything about evaluations that is not in the database, and can be rebuilt from it."""

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        plans: Plans,
        tell: Tell,
        still_holds: Callable[[Checkpoint], bool],
        on_end: Callable[[int, Checkpoint], None],
        on_checkpoint_done: Callable[[Checkpoint], None],
    ) -> None:
        """Begin empty.

        Args:
            writer: the database.
            settings: the run's.
            plans: what is asked, and in which batches.
            tell: stores an event: level, kind, message, checkpoint id.
            still_holds: tells whether a checkpoint's files are what they were; fails it if not.
            on_end: called after an evaluation has ended, with its id.
            on_checkpoint_done: called when no evaluation of a checkpoint is left.
        """
        self.scheduler = Scheduler(
            settings.schedule,
            costs=CostModel(recorded_seconds(writer.connection)),
            patience=Patience(settings.hang_s, settings.silence_s),
        )
        self.plans = plans
        self.debiasing = Debiasing(writer, settings.debias)
        self._writer = writer
        self._settings = settings
        self._tell = tell
        self._still_holds = still_holds
        self._on_end = on_end
        self._on_checkpoint_done = on_checkpoint_done
        self._entries: dict[int, Entry] = {}
        self._parked: dict[tuple[str, str], list[tuple[Checkpoint, list[Mode]]]] = {}
        self._open: dict[int, Checkpoint] = {}
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._closed_s: dict[int, dict[tuple[str, str], float]] = {}
        self._measures = 0

    # --- queueing -----------------------------------------------------------------------------

    def queue(self, checkpoint: Checkpoint, modes: Iterable[Mode], *, retry: bool = False) -> None:
        """Schedule what is missing of a checkpoint's evaluations; end those that miss nothing.

        Failed ones are only made again on ``retry``. A suite that was never asked with this
        processor is measured first.
        """
        self._open[checkpoint.checkpoint_id] = checkpoint
        by_suite: dict[str, list[Mode]] = {}
        for mode in modes:
            asked = self.plans.asked.get(mode)
            if asked is not None:
                self._writer.add_evaluation(
                    checkpoint.checkpoint_id, mode, self._settings.schedule, asked.planned
                )
                if retry or self._state(checkpoint, mode) != "failed":
                    by_suite.setdefault(asked.suite.digest, []).append(mode)
        for part in by_suite.values():
            suite = self.plans.asked[part[0]].suite
            if self.plans.unmeasured(suite, checkpoint.processor):
                self._park(suite, checkpoint, part)
            else:
                self._schedule(suite, checkpoint, part)
        self._end_checkpoint_if_done(checkpoint)

    def _park(self, suite: Suite, checkpoint: Checkpoint, modes: list[Mode]) -> None:
        """Let a checkpoint wait until its suite is measured, and see to it that it will be."""
        self._parked.setdefault((suite.digest, checkpoint.processor), []).append(
            (checkpoint, modes)
        )
        self._go_on_with_parked()

    def _go_on_with_parked(self) -> None:
        """Measure what parked checkpoints wait for; schedule those that wait for nothing."""
        measured = {
            (entry.suite.digest, entry.checkpoint.processor)
            for entry in self._entries.values()
            if entry.task == "measure"
        }
        for key in [key for key in self._parked if key not in measured]:
            parked = self._parked[key]
            checkpoint, modes = parked[0]
            suite = self.plans.asked[modes[0]].suite
            rest = self.plans.unmeasured(suite, checkpoint.processor)
            if rest:
                self._measures -= 1
                billed = (self._evaluation(checkpoint, modes[0]),)
                entry = Entry(self._measures, checkpoint, "measure", billed, (modes[0],), suite)
                self._add(entry, rest, None)
                continue
            for checkpoint, modes in parked:
                self._schedule(suite, checkpoint, modes)
            del self._parked[key]

    def _schedule(self, suite: Suite, checkpoint: Checkpoint, modes: Sequence[Mode]) -> None:
        open_modes = [mode for mode in modes if self._state(checkpoint, mode) != "done"]
        under_way = {
            number
            for entry in self._entries.values()
            if entry.checkpoint.checkpoint_id == checkpoint.checkpoint_id
            and entry.task != "measure"
            for number in entry.evaluations
        }
        pair: tuple[Mode, ...] = ("closed", "open")
        groups: list[tuple[Task, tuple[Mode, ...]]]
        if self._pairs(modes) and open_modes:
            groups = [("pair", pair)]
        else:
            groups = [("closed" if mode == "closed" else "open", (mode,)) for mode in open_modes]
        for task, group in groups:
            numbers = tuple(self._evaluation(checkpoint, mode) for mode in group)
            if under_way.intersection(numbers):
                continue
            entry = Entry(numbers[0], checkpoint, task, numbers, group, suite)
            batches = self.plans.batches(suite, task, checkpoint.processor)
            ids = self.plans.asked[group[0]].item_ids
            probe = self.plans.probe(suite, task, checkpoint.processor)
            # An item is answered only if it is in every mode of the entry.
            done = set.intersection(*(self._answered(number) for number in numbers))
            missing = unanswered(batches, ids, done)
            self._add(entry, missing, probe)
            self.finish_if_complete(entry.number)

    def _pairs(self, modes: Sequence[Mode]) -> bool:
        """Tell whether closed and open are answered together. The same for a run's whole life."""
        if not self._settings.pairing or not {"closed", "open"} <= {*modes}:
            return False
        asked = self.plans.asked
        return asked["closed"].planned == asked["open"].planned

    def _add(self, entry: Entry, batches: Sequence[Batch], probe: Batch | None) -> None:
        self._entries[entry.number] = entry
        for number, mode in zip(entry.evaluations, entry.modes, strict=True):
            if self._state(entry.checkpoint, mode) == "done":
                self._ended.add(number)
            else:
                self._ended.discard(number)
        self.scheduler.add(
            entry.number,
            entry.checkpoint,
            entry.task,
            batches,
            background=entry.modes == ("gold",),
            model=_architecture(entry.checkpoint),
            probe=probe,
        )

    def _evaluation(self, checkpoint: Checkpoint, mode: Mode) -> int:
        query = "SELECT id FROM evaluations WHERE checkpoint_id = ? AND mode = ?"
        number: int = self._writer.query(query, checkpoint.checkpoint_id, mode)[0][0]
        return number

    def _state(self, checkpoint: Checkpoint, mode: Mode) -> EvaluationState:
        query = "SELECT state FROM evaluations WHERE checkpoint_id = ? AND mode = ?"
        state: EvaluationState = self._writer.query(query, checkpoint.checkpoint_id, mode)[0][0]
        return state

    def _answered(self, evaluation_id: int) -> set[int]:
        query = "SELECT item_id FROM predictions WHERE evaluation_id = ?"
        return {item_id for (item_id,) in self._writer.query(query, evaluation_id)}

    # --- what is under way --------------------------------------------------------------------

    def busy(self, checkpoint_id: int) -> bool:
        """Tell whether anything of a checkpoint is queued or running."""
        entries = [entry.checkpoint for entry in self._entries.values()]
        parked = [checkpoint for part in self._parked.values() for checkpoint, _ in part]
        return any(one.checkpoint_id == checkpoint_id for one in (*entries, *parked))

    def start(self, unit: Unit) -> None:
        """Note that a unit's evaluations have begun."""
        entry = self._entries[unit.evaluation_id]
        for number in entry.evaluations:
            if number not in self._begun:
                self._writer.start_evaluation(number)
                self._writer.set_checkpoint(unit.checkpoint.checkpoint_id, "scoring")
                self._begun.add(number)

    def refresh_scores(self) -> None:
        """Write the scores so far of every evaluation under way."""
        for number in self.scheduler.begun():
            entry = self._entries[number]
            if entry.task != "measure":
                for evaluation_id, mode in zip(entry.evaluations, entry.modes, strict=True):
                    self._writer.refresh_scores(evaluation_id)
                    if mode == "closed":
                        self.debiasing.refresh(evaluation_id)

    # --- results ------------------------------------------------------------------------------

    def take_part(self, unit: Unit, worker_id: int, part: ClosedPart) -> None:
        """Persist the closed results of a pair whose open answers are still being written."""
        entry = self._entries[unit.evaluation_id]
        found = part.results, part.spans, None, part.rotations
        self._persist(entry, 0, unit, worker_id, *found)
        self._closed_s[unit.unit_id] = seconds_of(part.results, part.rotations)

    def take(self, unit: Unit, worker_id: int, done: UnitDone) -> None:
        """Persist a unit's results; :meth:`finish_if_complete` is due next."""
        entry = self._entries[unit.evaluation_id]
        if entry.task == "measure":
            self.plans.learn(entry.suite, entry.checkpoint.processor, done.lengths)
            self._persist(entry, 0, unit, worker_id, (), done.spans, done.work)
            self.scheduler.complete(unit.unit_id)
            return
        found = done.results, done.spans, done.work, done.rotations
        self._persist(entry, -1, unit, worker_id, *found)
        seconds = seconds_of(done.results, done.rotations)
        for name, spent in self._closed_s.pop(unit.unit_id, {}).items():
            seconds[name] = seconds.get(name, 0.0) + spent
        self.scheduler.complete(unit.unit_id, seconds)

    def give_up(self, lost: GivenUp, worker_id: int) -> None:
        """Persist that an item has no answer, and why; :meth:`finish_if_complete` is due next."""
        entry = self._entries[lost.unit.evaluation_id]
        if entry.task == "measure":
            lengths = [Lengths(result.key, None, None) for result in lost.results]
            self.plans.learn(entry.suite, entry.checkpoint.processor, lengths)
            return
        for place in range(len(entry.evaluations)):
            self._persist(entry, place, lost.unit, worker_id, lost.results, (), None)
        for result in lost.results:
            text = f"{'/'.join(result.key)} set aside: {result.reason}"
            self._tell("error", "item", text, lost.unit.checkpoint.checkpoint_id)

    def _persist(
        self,
        entry: Entry,
        place: int,
        unit: Unit,
        worker_id: int,
        results: Sequence[ItemResult],
        spans: Sequence[TimedSpan],
        work: Work | None,
        rotations: Sequence[Rotated] = (),
    ) -> None:
        evaluation_id = entry.evaluations[place]
        item_ids = self.plans.asked[entry.modes[place]].item_ids
        rows = prediction_rows(
            results,
            item_ids,
            evaluation_id=evaluation_id,
            batch_id=unit.batch.batch_id,
            worker_id=worker_id,
            attempt=unit.attempt,
        )
        self._writer.add_results(
            rows,
            span_rows(unit, evaluation_id, worker_id, spans),
            work_rows(entry.task, entry.evaluations, work),
            rotation_rows(rotations, item_ids, evaluation_id),
        )

    # --- ends ---------------------------------------------------------------------------------

    def finish_if_complete(self, number: int) -> None:
        """End the evaluations of an entry that have all their answers. May be called again."""
        entry = self._entries.get(number)
        if entry is None:
            return
        if entry.task == "measure":
            if self.scheduler.is_finished(number):
                self._end_measure(entry)
            return
        for evaluation_id in entry.evaluations:
            done, failed, planned = self._writer.query(
                "SELECT done, failed, planned FROM evaluations WHERE id = ?", evaluation_id
            )[0]
            if evaluation_id not in self._ended and done + failed >= planned:
                if not self._still_holds(entry.checkpoint):
                    return
                self._finish(entry, evaluation_id, done, failed, planned)
                self._ended.add(evaluation_id)
        if self.scheduler.is_finished(number):
            self._drop(entry)
            self._end_checkpoint_if_done(entry.checkpoint)

    def sweep(self) -> None:
        """End whatever is complete, should the step that was to end it have failed on its way."""
        for number in [n for n in self._entries if self.scheduler.is_finished(n)]:
            self.finish_if_complete(number)
        self._go_on_with_parked()
        for checkpoint in list(self._open.values()):
            self._end_checkpoint_if_done(checkpoint)

    def _finish(
        self, entry: Entry, evaluation_id: int, done: int, failed: int, planned: int
    ) -> None:
        reason = None
        if failed:
            why = self._writer.query(
                "SELECT reason FROM predictions WHERE evaluation_id = ? AND status = 'failed'"
                " GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 1",
                evaluation_id,
            )[0][0]
            reason = f"{failed} of {planned} items have no answer: {why}"
        if evaluation_id == entry.evaluations[0] and entry.modes[0] == "closed":
            self.debiasing.refresh(evaluation_id)
        self._writer.finish_evaluation(evaluation_id, "done" if done else "failed", reason)
        self._on_end(evaluation_id, entry.checkpoint)

    def _end_measure(self, entry: Entry) -> None:
        self._drop(entry)
        self.sweep()

    def fail_all(self, checkpoint: Checkpoint, reason: str) -> None:
        """Write down that nothing more of a checkpoint can be evaluated. May be called again."""
        for evaluation_id, _ in self._unfinished(checkpoint):
            self._writer.finish_evaluation(evaluation_id, "failed", reason)

    def forget(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint out of the schedule. Writes nothing, so it can't fail half-way.

        What was being measured with it is measured with another one: the next sweep's to do.
        """
        self._open.pop(checkpoint.checkpoint_id, None)
        for entry in [e for e in self._entries.values() if e.checkpoint == checkpoint]:
            self._drop(entry)
        for key, parked in list(self._parked.items()):
            self._parked[key] = [(other, modes) for other, modes in parked if other != checkpoint]
            if not self._parked[key]:
                del self._parked[key]

    def fail_evaluation(self, number: int, reason: str) -> None:
        """End the closed evaluation of an entry that can't be scored; the others go on."""
        entry = self._entries.get(number)
        if entry is None:
            return
        self._writer.finish_evaluation(entry.evaluations[0], "failed", reason)
        text = f"step {entry.checkpoint.step} {entry.modes[0]} failed: {reason}"
        self._tell("error", "evaluation", text, entry.checkpoint.checkpoint_id)
        self._drop(entry)
        if len(entry.modes) > 1:
            self._schedule(entry.suite, entry.checkpoint, entry.modes[1:])
        self._end_checkpoint_if_done(entry.checkpoint)

    def _drop(self, entry: Entry) -> None:
        self.scheduler.drop(entry.number)
        self._entries.pop(entry.number, None)
        for number in entry.evaluations:
            self.debiasing.forget(number)

    def _unfinished(self, checkpoint: Checkpoint) -> list[tuple[int, Mode]]:
        return [
            (number, mode)
            for number, mode in self._writer.query(
                "SELECT id, mode FROM evaluations"
                " WHERE checkpoint_id = ? AND state IN ('queued', 'running')",
                checkpoint.checkpoint_id,
            )
        ]

    def _end_checkpoint_if_done(self, checkpoint: Checkpoint) -> None:
        if self._unfinished(checkpoint) or self.busy(checkpoint.checkpoint_id):
            return
        number = checkpoint.checkpoint_id
        state = self._writer.query("SELECT state FROM checkpoints WHERE id = ?", number)[0][0]
        if state in ("done", "failed"):
            self._open.pop(number, None)
            return
        failed = self._writer.query(
            "SELECT mode, reason FROM evaluations WHERE checkpoint_id = ? AND state = 'failed'",
            number,
        )
        reason = "; ".join(f"{mode}: {why}" for mode, why in failed) or None
        self._writer.set_checkpoint(
            number, "failed" if failed else "done", reason, done_at=time.time()
        )
        self._open.pop(number, None)
        self._on_checkpoint_done(checkpoint)


def _architecture(checkpoint: Checkpoint) -> str:
    """Return what checkpoints that need the same memory for the same batch have in common."""
    try:
        config = ((checkpoint.base or checkpoint.directory) / "config.json").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(config).hexdigest()
