"""What finished evaluations are good for: judged, compared, warned of, logged elsewhere."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import partial
from pathlib import Path

from ctv_engine.service.alerting import Alerting, Notifier
from ctv_engine.service.events import Tell
from ctv_engine.service.judge import Judge
from ctv_engine.service.judging import Judging
from ctv_engine.service.sinks import Sinks, logged_of, open_sink
from ctv_engine.service.tracking import words_of
from ctv_engine.service.tracking_thread import TrackingThread
from ctv_engine.settings import Settings
from ctv_engine.store.imported import handed_over, write_series
from ctv_engine.store.judged import still_waits
from ctv_engine.store.rows import EventLevel, Mode
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Suite


class FollowUp:
    """Judge, correlations and rankings, alerts, trackers and gold from elsewhere, for one run.

    All of it works on what is committed, beside the loop; the loop's calls return at once.
    """

    def __init__(
        self,
        writer: Writer,
        run_id: int,
        name: str,
        settings: Settings,
        suites: Sequence[Suite],
        judge: Judge | None,
        several_judges: str | None,
        tell: Tell,
    ) -> None:
        """Begin; ``several_judges`` says that answers were scored by more than this one."""
        self._writer, self._run_id, self._tell = writer, run_id, tell
        self._db = Path(settings.db)
        self._tracking = TrackingThread(writer, run_id, settings.window, tell)
        self._judging = Judging(
            writer, run_id, list(suites), judge, tell, self._judged, several_judges
        )
        notifier = Notifier(name, settings.alert_command, settings.alert_every_s)
        self._alerting = Alerting(writer, run_id, tell, notifier)
        self._sinks = Sinks(
            {target: open_sink(target, name, settings.db) for target in settings.log_to}
        )

    @property
    def busy(self) -> bool:
        """Whether anything is under way that an end of the run has to wait for."""
        return self._judging.busy or self._tracking.busy

    def catch_up(self) -> None:
        """Look at what an earlier engine may have had no time for."""
        self._tracking.ask()

    def ended(self, evaluation_id: int, step: int, mode: Mode, checkpoint_id: int) -> None:
        """Take note of an evaluation that ended, after its last row is committed."""

        def tell() -> None:
            self._alerting.look(step, mode, checkpoint_id)
            self._scored(evaluation_id)

        self._tracking.ask(tell)

    def write(self) -> None:
        """Write what has been computed; called in each pass of the loop."""
        self._tracking.step()

    def judge(self) -> None:
        """Ask for scores that are missing, and write those that came."""
        self._judging.step()

    def look_round(self) -> None:
        """Do what is due every second; say what went wrong with what runs beside."""
        self.judge()
        self._tell_troubles()
        self._take_imports()

    def close(self) -> None:
        """End what runs beside."""
        self._judging.close()
        self._tracking.close()
        self._alerting.close()
        self._sinks.close()
        self._tell_troubles()

    def _judged(self, evaluations: Set[int]) -> None:
        """Take note of evaluations whose last answers a judge has scored."""

        def tell() -> None:
            for evaluation_id in evaluations:
                self._scored(evaluation_id)

        self._tracking.ask(tell)

    def _scored(self, evaluation_id: int) -> None:
        """Pass on the scores of an evaluation that has ended; a judge may bring more of them."""
        step, mode, checkpoint_id, state = self._writer.query(
            "SELECT c.step, e.mode, c.id, e.state FROM evaluations e"
            " JOIN checkpoints c ON c.id = e.checkpoint_id WHERE e.id = ?",
            evaluation_id,
        )[0]
        if state == "done":
            if not still_waits(self._writer, evaluation_id):
                self._alerting.look_at_score(step, mode, checkpoint_id)
            self._sinks.log(lambda: logged_of(self._writer, evaluation_id))

    def _tell_troubles(self) -> None:
        self._alerting.step()
        for problem in self._sinks.problems():
            self._tell("warning", "log", problem)

    def _take_imports(self) -> None:
        """Write the gold series that were handed over, and say so."""
        for path, series in handed_over(self._db):
            done = write_series(self._writer, self._run_id, series)
            path.unlink(missing_ok=True)
            level: EventLevel = "info" if done.known else "warning"
            # Whoever follows the database reads all of it again on this event.
            tell = partial(self._tell, level, "gold", words_of(series, done))
            self._tracking.ask(tell, anew=bool(done.known))
