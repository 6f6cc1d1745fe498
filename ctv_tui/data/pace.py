"""Is validation keeping up? Freshness, keep-up ratio, time left and the next checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from statistics import median

from ctv_tui.data import words
from ctv_tui.data.snapshot import Evaluation, Snapshot

LATEST = 8
"""How many checkpoints back the pace of the training run and of the engine is looked at."""

_TOGETHER_S = 1.0
_LONGEST_S = 14 * 86400.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds, or None where nothing can be said yet.

    ``freshness_s``: from a checkpoint complete to its closed score, for the newest that has one,
    and ``usual_freshness_s`` the median over the latest. ``interval_s``: between checkpoints of the
    training run. ``evaluation_s``: the engine's time per checkpoint. ``left_s``: until all that is
    running or queued is done.
    """

    freshness_s: float | None
    usual_freshness_s: float | None
    interval_s: float | None
    evaluation_s: float | None
    left_s: float | None

    @property
    def keep_up(self) -> float | None:
        """Evaluation time / checkpoint interval: above 1 the engine falls behind."""
        if self.evaluation_s is None or not self.interval_s:
            return None
        return self.evaluation_s / self.interval_s


def pace(snapshot: Snapshot, now: float) -> Pace:
    """Return the pace as of ``now`` (epoch seconds)."""
    fresh = _freshness(snapshot)
    evaluation_s, per_checkpoint = _evaluation(snapshot.evaluations)
    return Pace(
        freshness_s=fresh[-1] if fresh else None,
        usual_freshness_s=median(fresh) if fresh else None,
        interval_s=interval_s(snapshot),
        evaluation_s=evaluation_s,
        left_s=_left(snapshot, now, evaluation_s, per_checkpoint),
    )


def interval_s(snapshot: Snapshot) -> float | None:
    """Return the median time between the latest checkpoints.

    Checkpoints that were found in one go, because they were there before the engine, say nothing.
    """
    found = sorted(c.found_at for c in snapshot.checkpoints)[-LATEST - 1 :]
    gaps = [b - a for a, b in pairwise(found) if b - a > _TOGETHER_S]
    return median(gaps) if gaps else None


def next_expected_at(snapshot: Snapshot) -> float | None:
    """Return when the training run should write its next checkpoint, in epoch seconds."""
    interval = interval_s(snapshot)
    if interval is None:
        return None
    return max(c.found_at for c in snapshot.checkpoints) + interval


def waiting_phrase(snapshot: Snapshot, now: float) -> str:
    """Say what an idle engine waits for."""
    expected = next_expected_at(snapshot)
    if expected is None:
        return "idle, waiting for a checkpoint"
    if expected >= now:
        return f"idle, next checkpoint expected in {words.duration(round(expected - now))}"
    return f"idle, next checkpoint expected {words.duration(round(now - expected))} ago"


def remaining_s(evaluation: Evaluation, now: float) -> float | None:
    """Return the seconds that the rest of an evaluation takes at its pace so far."""
    done = evaluation.done + evaluation.failed
    if evaluation.started_at is None or done < 1 or evaluation.progress >= 1.0:
        return None
    elapsed = now - evaluation.started_at
    left = elapsed * (evaluation.planned - done) / done
    return left if 0 < elapsed < _LONGEST_S and left < _LONGEST_S else None


def _freshness(snapshot: Snapshot) -> list[float]:
    """Return seconds from ready to scored, by step, without those that a clock's jump spoiled."""
    ready = {c.id: c.ready_at for c in snapshot.checkpoints[-4 * LATEST :]}
    found: list[float] = []
    for evaluation in reversed(snapshot.evaluations):
        if evaluation.mode != "closed" or evaluation.state != "done":
            continue
        ready_at = ready.get(evaluation.checkpoint_id)
        if ready_at is None or len(found) == LATEST:
            break
        seconds = (evaluation.finished_at or ready_at) - ready_at
        if 0 < seconds < _LONGEST_S:
            found.append(seconds)
    return found[::-1]


def _evaluation(evaluations: Sequence[Evaluation]) -> tuple[float | None, float | None]:
    """Return the engine's seconds and its number of evaluations per checkpoint.

    Evaluations overlap: closed and open may be answered together, and gold runs behind them. So the
    time in which at least one of the latest checkpoints' evaluations ran is shared among these.
    """
    ended: list[list[Evaluation]] = []
    for _, group in groupby(reversed(evaluations), key=attrgetter("checkpoint_id")):
        of_one = list(group)
        if all(evaluation.state == "done" for evaluation in of_one):
            ended.append(of_one)
        if len(ended) == LATEST:
            break
    if not ended:
        return None, None
    busy_s, until = 0.0, float("-inf")
    for start, end in sorted(
        (e.started_at, e.finished_at)
        for es in ended
        for e in es
        if e.started_at is not None and e.finished_at is not None
    ):
        busy_s += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy_s / len(ended), sum(map(len, ended)) / len(ended)


def _left(
    snapshot: Snapshot, now: float, evaluation_s: float | None, per_checkpoint: float | None
) -> float | None:
    running = [remaining_s(evaluation, now) for evaluation in snapshot.running]
    if not running and not snapshot.queued:
        return None
    if any(left is None for left in running):
        return None
    left = max((left for left in running if left is not None), default=0.0)
    if snapshot.queued:
        if evaluation_s is None or not per_checkpoint:
            return None
        left += snapshot.queued * evaluation_s / per_checkpoint
    return left
