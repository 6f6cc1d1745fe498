"""The coordinator's side of the judge: which answers go there, and where the scores go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from ctv_engine.service.events import Tell
from ctv_engine.service.judge import Judge, capabilities_of
from ctv_engine.store.judged import (
    Judged,
    keep_judgements,
    newest_prediction,
    score_capabilities,
    still_waits,
    unscored,
)
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite

MOST_REASONS = 8
"""So many different ones are told of; some providers name every request in theirs."""


class Judging:
    """Hands out what waits and writes what comes back. Without a judge it says what is missing."""

    def __init__(
        self,
        writer: Writer,
        run_id: int,
        suites: Iterable[Suite],
        judge: Judge | None,
        tell: Tell,
        on_scores: Callable[[Set[int]], None],
        warning: str | None = None,
    ) -> None:
        """Begin with what an earlier engine left unscored.

        ``tell`` stores an event; ``on_scores`` is called when a batch of scores is in, with the
        evaluations of which nothing waits any more. ``warning`` is told if something is judged in
        this run.
        """
        suites = list(suites)
        self._writer, self._run_id, self._judge = writer, run_id, judge
        self._tell, self._on_scores = tell, on_scores
        self._capabilities = capabilities_of(suites)
        self._needed = sorted(
            {d.name for suite in suites for d in suite.datasets if d.open_metric == "judge"}
        )
        self._last = 0
        self._held: list[Judged] = []
        self._told: set[str] = set()
        if self._needed and judge is None:
            names = ", ".join(self._needed)
            tell("warning", "judge", f"answers of {names} wait for a judge: name one with --judge")
        elif self._needed and warning:
            tell("warning", "judge", warning)

    @property
    def busy(self) -> bool:
        """Whether answers are at the judge, or scores are not written yet."""
        return bool(self._held) or (self._judge is not None and self._judge.waiting > 0)

    def step(self) -> None:
        """Write what the judge said since the last call, and hand it what is new.

        Raises:
            sqlite3.OperationalError: the database can't be written; nothing is lost.
        """
        if self._judge is None or not self._needed:
            return
        self._held += self._judge.take()
        if self._held:
            changed = keep_judgements(self._writer, self._held)
            for evaluation_id in changed:
                score_capabilities(self._writer, evaluation_id, self._capabilities)
            self._tell_reasons()
            answered = {one.asked.evaluation_id for one in self._held}
            self._held = []
            if changed:
                self._on_scores({n for n in answered if not still_waits(self._writer, n)})
        newest = newest_prediction(self._writer)
        if newest > self._last:
            self._judge.ask(unscored(self._writer, self._run_id, self._last, newest))
            self._last = newest

    def _tell_reasons(self) -> None:
        for reason in dict.fromkeys(one.reason for one in self._held if one.score is None):
            if reason and reason not in self._told and len(self._told) < MOST_REASONS:
                self._tell("warning", "judge", f"{reason}; such answers stay without a score")
                self._told.add(reason)

    def close(self) -> None:
        """End the judge's thread."""
        if self._judge is not None:
            self._judge.close()
