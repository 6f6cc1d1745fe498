"""How far can I trust the proxy? Rolling and whole-run correlation with gold."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize

from ctv_engine.store.rows import MACRO, Mode
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.safe_text import pad
from ctv_tui.data.snapshot import FEW, Correlation
from ctv_tui.data.text import scope_name
from ctv_tui.screens.pane import Pane
from ctv_tui.theme import Role
from ctv_tui.widgets.axes import Range, step_range
from ctv_tui.widgets.chart import Chart, ChartData
from ctv_tui.widgets.lines import (
    Line,
    Piece,
    centred,
    first_that_fits,
    framed,
    joined,
    line,
    more_below,
)
from ctv_tui.widgets.painted import Painted
from ctv_tui.widgets.plot import Dot, Series

_PROXIES: tuple[tuple[Mode, Role], ...] = (("closed", "closed-band"), ("open", "open-band"))
_EMPTY = "waiting for checkpoints that have a gold score…"


class CorrelationPane(Pane):
    """A verdict in words, a chart per proxy, a table per scope."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._verdict = Verdict(id="verdict")
        self._charts = {proxy: Chart(id=f"rolling-{proxy}") for proxy, _ in _PROXIES}
        self._table = ScopeTable(id="scopes")
        self._steps: Range | None = None

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield self._verdict
        yield Horizontal(*self._charts.values(), id="rolling")
        yield self._table

    def on_resize(self, event: Resize) -> None:
        """Share the rows anew."""
        self._share_rows()

    def update_view(self) -> None:
        """Hand each widget its part."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        self._verdict.show(snapshot)
        self._steps = step_range(
            [p.step for t in snapshot.trajectories for p in t.points], self._steps
        )
        for proxy, band in _PROXIES:
            self._charts[proxy].show(_chart(snapshot, proxy, band, self._steps))
        self._table.show(snapshot.whole)
        self._share_rows()

    def _share_rows(self) -> None:
        room = (self.size.height - 1) // 2
        if room > 0:
            self._table.styles.height = min(room, self._table.rows_wanted)

    def move(self, by: int) -> None:
        """Scroll the table."""
        self._table.scroll_rows(by)


def _chart(snapshot: Snapshot, proxy: Mode, band: Role, steps: Range) -> ChartData:
    found = [c for c in snapshot.rolling if c.proxy == proxy]
    edges = tuple(Dot(float(c.step), c.high, low=c.low) for c in found)
    dots = tuple(Dot(float(c.step), c.r, hollow=c.n < FEW) for c in found)
    rights: tuple[Line, ...] = ()
    if found:
        last = found[-1]
        now = line((f"{words.signed(last.r)} n={last.n}", proxy))
        rights = (line((f"last {last.window} checkpoints: ", "dim"), *now), now)
    return ChartData(
        title=line((f"r of {proxy} with gold", "title")),
        rights=rights,
        series=(Series(band, "band", edges), Series(proxy, "solid", dots)),
        x=steps,
        y=(-1.0, 1.0),
        empty=_EMPTY,
    )


class Verdict(Painted):
    """One plain sentence, and a warning where there are too few checkpoints."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._sentences: tuple[Line, Line] = ((), ())
        self._short: Line = ()

    def show(self, snapshot: Snapshot) -> None:
        """Say how well each proxy orders checkpoints as gold does."""
        gold = snapshot.points("gold")
        parts: list[Line] = []
        short: list[Line] = []
        for proxy, _ in _PROXIES:
            found = words.agreement(snapshot.points(proxy), gold)
            if found.pairs:
                count = f"{found.agreeing} of {found.pairs}"
                parts.append(line((proxy, proxy), f" orders {count} checkpoint pairs as gold does"))
                short.append(line((f"{proxy} {count}", proxy)))
        full: Line = line(" ", (_EMPTY, "dim"))
        self._short = full
        if parts:
            full = line(" ", *joined(parts, "; "))
            self._short = line(" pairs ordered as gold does: ", *joined(short, ", "))
        self._sentences = (full, _warning(snapshot))
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the sentence and the warning."""
        return [first_that_fits(width, (self._sentences[0], self._short)), self._sentences[1]]


def _warning(snapshot: Snapshot) -> Line:
    known = [c for c in (snapshot.correlation(proxy) for proxy, _ in _PROXIES) if c]
    if not known:
        return ()
    fewest = min(c.n for c in known)
    if fewest < FEW:
        text = f"only {fewest} checkpoints have both scores: no verdict below {FEW}"
        return line(" ", (text, "warning"))
    text = f"over {fewest} checkpoints; two rising curves correlate anyway: look at the interval"
    return line(" ", (text, "dim"))


class ScopeTable(Painted):
    """Whole-run r of both proxies per scope."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._whole: tuple[Correlation, ...] = ()
        self._first = 0

    def show(self, whole: tuple[Correlation, ...]) -> None:
        """Show the whole-run correlations."""
        if whole is not self._whole or not self._lines:
            self._whole = whole
            self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every scope."""
        return 3 + max(1, len({c.scope for c in self._whole}))

    def scroll_rows(self, by: int) -> None:
        """Move by rows."""
        self._first = max(0, self._first + by)
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table."""
        title = line(("Pearson's r over the whole run", "title"))
        scopes = list(dict.fromkeys(c.scope for c in self._whole))
        self._first = max(0, min(self._first, len(scopes) - (height - 3)))
        body = scope_rows(self._whole, scopes[self._first :], width - 2, height - 2)
        few = line((f"○ fewer than {FEW} checkpoints", "dim"))
        more = more_below(len(scopes) - self._first, height - 3)
        rights = [joined([few, more], (" · ", "dim")), more or few]
        return framed(body, width, height, title=title, rights=rights)


def scope_rows(
    whole: Sequence[Correlation], scopes: Sequence[str], width: int, height: int
) -> list[Line]:
    """Return the table's head and one row per scope, the macro mean first."""
    if not whole:
        return centred(_EMPTY, width, height)
    by_key = {(c.proxy, c.scope): c for c in whole}
    cell = min(34, max(20, (width - 16) // 2))
    name_width = max(8, min(24, width - 2 * cell))
    head = line(pad("", name_width), *((pad(p, cell), p) for p, _ in _PROXIES))
    rows = [head]
    for scope in scopes[: height - 1]:
        name = pad(f" {scope_name(scope)}", name_width)
        row: list[Piece] = [(name, "strong" if scope == MACRO else "")]
        for proxy, _ in _PROXIES:
            text, role = _cell(by_key.get((proxy, scope)))
            row.append((pad(text, cell), role))
        rows.append(line(*row))
    return rows


def _cell(found: Correlation | None) -> tuple[str, Role]:
    if found is None:
        return "–", "dim"
    if found.r is None:
        return f"– {safe(found.reason or '')}", "dim"
    mark = "○" if found.n < FEW else " "
    text = f"{mark}{words.signed(found.r)} {words.interval(found.low, found.high)} n={found.n}"
    return text, "dim" if found.n < FEW else ""
