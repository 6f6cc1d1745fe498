"""The numbers of now: scores, correlation, the best checkpoint, and whether validation keeps up."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.store.rows import MACRO, MODES, Mode, RankRow
from ctv_tui.data import safe, words
from ctv_tui.data.pace import Pace, remaining_s
from ctv_tui.data.safe_text import pad
from ctv_tui.data.snapshot import FEW, Correlation, Evaluation, Point, Snapshot
from ctv_tui.data.standing import Best, best, change
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, Piece, bar, first_that_fits, framed, joined, line
from ctv_tui.widgets.painted import Painted

_NAME_WIDTH, _SCORE_WIDTH = 17, 8
_LEAST_DATASETS = 3
_PROXIES: tuple[Mode, ...] = ("closed", "open")
_LABEL = 13
_DOT: Piece = (" · ", "dim")


class Facts(Painted):
    """Scores with their change, r of both proxies, best checkpoints, progress and pace."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._groups: tuple[list[list[Line]], ...] = ()
        self._datasets: list[Line] = []

    def show(self, snapshot: Snapshot, pace: Pace, now: float) -> None:
        """Show a snapshot."""
        self._groups = (
            [
                *(score_row(mode, snapshot.points(mode), snapshot.ranked(mode)) for mode in MODES),
                *(correlation_row(proxy, snapshot.correlation(proxy)) for proxy in _PROXIES),
                *(best_row(mode, best(snapshot.ranked(mode))) for mode in ("closed", "gold")),
            ],
            [*progress_rows(snapshot, pace, now), *pace_rows(snapshot, pace)],
        )
        self._datasets = dataset_rows(snapshot)
        self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show the numbers of the whole run, without rules between them."""
        return sum(map(len, self._groups)) + 2

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed rows; rules and single datasets come where there is room."""
        inner = width - 2
        rule = line(("─" * inner, "frame"))
        rows: list[Line] = []
        for group in self._groups:
            if rows and height > self.rows_wanted:
                rows.append(rule)
            rows += [first_that_fits(inner, choices) for choices in group]
        room = height - 2 - len(rows) - 1
        if self._datasets and room >= _LEAST_DATASETS:
            shown = self._datasets
            if len(shown) > room:
                left = len(shown) - room + 1
                shown = [*shown[: room - 1], line((f" … {left} more", "dim"))]
            rows += [rule, *shown]
        return framed(rows, width, height, title=line(("now", "title")))


def dataset_rows(snapshot: Snapshot) -> list[Line]:
    """Return a head and the last scores of each dataset."""
    names = dict.fromkeys([*snapshot.datasets, *(t.dataset for t in snapshot.trajectories)])
    names.pop(MACRO, None)
    if not names or not snapshot.trajectories:
        return []
    heads = [(mode.rjust(_SCORE_WIDTH), mode) for mode in MODES]
    rows = [line(pad(" dataset", _NAME_WIDTH), *heads)]
    for name in names:
        values = []
        for mode in MODES:
            points = snapshot.points(mode, name)
            values.append(words.score(points[-1] if points else None).rjust(_SCORE_WIDTH))
        rows.append(line(pad(f" {safe(name)}", _NAME_WIDTH), *values))
    return rows


def score_row(mode: Mode, points: Sequence[Point], ranked: Sequence[RankRow] = ()) -> list[Line]:
    """Return the last score with its standard error and its change, the longest form first."""
    head = line(" ", (f"{mode:<{_LABEL - 1}}", mode))
    if not points:
        return [line(*head, ("–", "dim"))]
    last = points[-1]
    value = line(*head, (words.score(last).rjust(6), "strong"))
    if last.value is not None and last.stderr is not None:
        value = line(*value, f" ±{last.stderr:.3f}")
    moved = change(points, ranked) if last.value is not None else None
    step = line((f"  step {last.step}", "dim"))
    if moved is None:
        return [line(*value, *step), value]
    mark = "▲" if moved.value > 0 else "▼" if moved.value < 0 else "="
    role: Role = "dim" if moved.is_noise is not False else "good" if moved.value > 0 else "warning"
    sign = f"{moved.value:+.3f}".replace("-", "−")
    delta = line((f"  {mark} {sign}", role))
    words_of = {True: " within noise", False: " clear", None: ""}
    noise = line((words_of[moved.is_noise], role))
    return [
        line(*value, *delta, *noise, *step),
        line(*value, *delta, *step),
        line(*value, *delta),
        value,
    ]


def correlation_row(proxy: Mode, found: Correlation | None) -> list[Line]:
    """Return a proxy's r with gold, its interval and the number of checkpoints."""
    head = line(" ", ("r ", "dim"), (f"{proxy:<{_LABEL - 3}}", proxy))
    if found is None:
        return [line(*head, ("–", "dim"))]
    n = line((f" n={found.n}", "dim"))
    if found.r is None:
        return [line(*head, ("–", "dim"), *n)]
    few = line((f" below {FEW}: no verdict", "warning")) if found.n < FEW else ()
    value = line(*head, (words.signed(found.r).rjust(6), "strong"))
    interval = f" {words.interval(found.low, found.high)}" if found.low is not None else ""
    return [
        line(*value, interval, *n, *few),
        line(*value, interval, *n),
        line(*value, *n),
    ]


def best_row(mode: Mode, found: Best | None) -> list[Line]:
    """Return the best checkpoint by a mode, its interval and how many are tied with it."""
    head = line(" ", ("best ", "dim"), (f"{mode:<{_LABEL - 6}}", mode))
    if found is None:
        return [line(*head, ("–", "dim"))]
    where = line(*head, (f"step {found.step}", "strong"))
    value = f" {found.value:.3f}"
    interval = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    others = len(found.tied) - 1 if found.tied is not None else 0
    role: Role = "warning" if others else "dim" if found.tied is None else "good"
    if found.tied is None:
        ties = ["no items to compare on", "ties not known"]
    elif others:
        ties = [f"{len(found.tied)} of {found.of} tied", f"{len(found.tied)} tied"]
    else:
        ties = (
            [f"clear of {found.of - 1} others", "clear"] if found.of > 1 else ["only one", "only"]
        )
    return [
        line(*where, value, interval, (f"  {ties[0]}", role)),
        line(*where, interval, (f" {ties[0]}", role)),
        line(*where, interval, (f" {ties[1]}", role)),
        line(*where, (f" {ties[0]}", role)),
        line(*where, (f" {ties[1]}", role)),
    ]


def progress_rows(snapshot: Snapshot, pace: Pace, now: float) -> list[list[Line]]:
    """Return a gauge for each running evaluation, and what waits behind them."""
    rows = [_progress(evaluation, now) for evaluation in snapshot.running[:3]]
    queued = snapshot.queued
    left = (
        "" if pace.left_s is None else f", all done in about {words.duration(round(pace.left_s))}"
    )
    head = line(" ", (f"{'queue':<{_LABEL - 1}}", "dim"))
    if queued or rows:
        text = f"{queued} evaluation{'' if queued == 1 else 's'}" if queued else "empty"
        rows.append([line(*head, text, left), line(*head, text)])
    else:
        rows.append([line(*head, ("nothing waits", "dim"))])
    return rows


def _progress(evaluation: Evaluation, now: float) -> list[Line]:
    gauge = line("▕", (bar(evaluation.progress, 8), evaluation.mode), "▏")
    share = f" {evaluation.progress * 100:.0f} %"
    seconds = remaining_s(evaluation, now)
    left = "" if seconds is None else f" {words.clock(seconds)} left"
    failed = line((f" {evaluation.failed} failed", "error")) if evaluation.failed else ()
    head = line(" ", (f"{evaluation.mode:<7}", evaluation.mode), f"{evaluation.step} ")
    return [
        line(*head, *gauge, share, left, *failed),
        line(*head, *gauge, share, left),
        line(*head, share.strip(), left),
        line(*head, share.strip()),
    ]


def pace_rows(snapshot: Snapshot, pace: Pace) -> list[list[Line]]:
    """Return freshness with the lag, and the keep-up ratio."""
    fresh = line(" ", (f"{'freshness':<{_LABEL - 1}}", "dim"))
    usual: Line = ()
    if pace.freshness_s is None:
        fresh = line(*fresh, ("–", "dim"))
    else:
        fresh = line(*fresh, words.duration(pace.freshness_s))
        if pace.usual_freshness_s is not None:
            usual = line((f" usually {words.duration(pace.usual_freshness_s)}", "dim"))
    lag = line((f"lag {snapshot.lag}", "warning" if snapshot.lag > 3 else ""))
    ratio = pace.keep_up
    kept = line(" ", (f"{'keep-up':<{_LABEL - 1}}", "dim"))
    why: Line = ()
    if ratio is None or pace.evaluation_s is None or pace.interval_s is None:
        kept = line(*kept, ("–", "dim"))
    else:
        role: Role = "good" if ratio <= 1.0 else "warning"
        word = "keeps up" if ratio <= 1.0 else "falls behind"
        kept = line(*kept, (f"{ratio:.2f} {word}", role))
        took, every = words.duration(pace.evaluation_s), words.duration(pace.interval_s)
        why = line((f", {took} per {every}", "dim"))
    return [
        [joined([line(*fresh, *usual), lag], _DOT), joined([fresh, lag], _DOT), fresh],
        [line(*kept, *why), kept],
    ]
