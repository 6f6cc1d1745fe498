"""How the proxies track gold, written as results land; imported series each for themselves."""

from __future__ import annotations

from dataclasses import replace

from ctv_engine.stats.track import Tracker
from ctv_engine.store.imported import PREFIX, GoldSeries, Imported, as_gold, write_series
from ctv_engine.store.rows import CorrelationRow
from ctv_engine.store.writer import Writer

Row = tuple[str, str, int, str, float]


class Tracking:
    """Keeps a tracker for the run's gold, and one for every series that was imported beside it."""

    def __init__(self, writer: Writer, run_id: int, window: int) -> None:
        self._writer, self._run_id, self._window = writer, run_id, window
        self._trackers: dict[str, Tracker] = {"": Tracker(window)}

    def update(self) -> None:
        """Write the rows that new scores change."""
        scores = self._scores()
        rows = self._trackers[""].update([row for row in scores if not row[3].startswith(PREFIX)])
        ((gold_digest,),) = self._writer.query(
            "SELECT gold_digest FROM runs WHERE id = ?", self._run_id
        )
        beside = {metric for *_, metric, _ in scores if metric.startswith(PREFIX)}
        names = sorted(metric.removeprefix(PREFIX) for metric in beside)
        for name in names if gold_digest is not None else ():
            tracker = self._trackers.setdefault(name, Tracker(self._window))
            rows += [_beside(row, name) for row in tracker.update(as_gold(scores, name))]
        self._writer.add_correlations(self._run_id, rows)

    def take(self, series: GoldSeries) -> Imported:
        """Write an imported series and what it changes."""
        done = write_series(self._writer, self._run_id, series)
        self._trackers.pop(series.name, None)
        if done.is_gold:
            self._trackers[""] = Tracker(self._window)
        self.update()
        return done

    def _scores(self) -> list[Row]:
        return [
            (mode, dataset, step, metric, value)
            for mode, dataset, step, metric, value in self._writer.query(
                "SELECT mode, dataset, step, metric, value FROM trajectory WHERE run_id = ?"
                " AND state = 'done' AND value IS NOT NULL"
                " AND (metric IN ('accuracy', 'score') OR metric LIKE ?)",
                self._run_id,
                PREFIX + "%",
            )
        ]


def _beside(row: CorrelationRow, name: str) -> CorrelationRow:
    return replace(row, scope=f"{PREFIX}{name}:{row.scope}")


def words_of(series: GoldSeries, done: Imported) -> str:
    """Return what became of an imported series, as one sentence for events and the command."""
    kind = "the run's gold" if done.is_gold else "beside the run's own gold"
    text = f"gold series {series.name!r}: {len(done.known)} steps imported, {kind}"
    if done.unknown:
        shown = ", ".join(map(str, done.unknown[:5])) + (" …" if len(done.unknown) > 5 else "")
        text += f"; {len(done.unknown)} steps have no checkpoint here and were left out: {shown}"
    return text
