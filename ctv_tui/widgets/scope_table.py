"""How far each proxy can be trusted, per dataset: r, rank order, decisions, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from ctv_engine.store.rows import MACRO
from ctv_engine.store.scopes import scope_of
from ctv_tui.data import Snapshot, safe, words
from ctv_tui.data.safe_text import pad
from ctv_tui.data.snapshot import FEW, Correlation
from ctv_tui.data.text import scope_name
from ctv_tui.data.tracks import Track
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, Piece, centred, framed, joined, line, more_below
from ctv_tui.widgets.painted import Painted
from ctv_tui.widgets.tracking import PROXIES, empty_sentence

_R_WIDTH = 26
_LONGEST_R = 34
_MORE = (("rank", 7), ("pairs", 6), ("noise", 7), ("mono", 7))
_MORE_WIDTH = sum(width for _, width in _MORE)
_LEAST_NAME = 12


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """One scope: per proxy the whole run's r and what else is known."""

    scope: str
    whole: tuple[Correlation | None, ...]
    tracks: tuple[Track | None, ...]


def scope_rows_of(snapshot: Snapshot) -> tuple[ScopeRow, ...]:
    """Return a row for every scope that has an r or both kinds of scores; the macro mean first."""
    tracked = [t.scope for t in snapshot.tracks if t.mode != "gold" and t.n]
    stored = [c.scope for c in snapshot.whole]
    order = dict.fromkeys([MACRO, *map(scope_of, snapshot.datasets), *tracked, *stored])
    known = {*tracked, *stored}
    return tuple(
        ScopeRow(
            scope,
            tuple(snapshot.correlation(proxy, scope) for proxy in PROXIES),
            tuple(snapshot.track(proxy, scope) for proxy in PROXIES),
        )
        for scope in order
        if scope in known
    )


class ScopeTable(Painted):
    """Whole-run numbers of both proxies per scope; the selected scope is on the charts."""

    class Chosen(Message):
        """A row was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: tuple[ScopeRow, ...] = ()
        self._selected = 0
        self._first = 0
        self._more = False
        self._empty = ""

    def show(self, snapshot: Snapshot, rows: tuple[ScopeRow, ...], selected: int) -> None:
        """Show ``rows`` with one of them selected."""
        self._rows, self._selected = rows, selected
        self._empty = empty_sentence(snapshot)
        self.redraw()

    def turn(self) -> None:
        """Show the other columns, where there is no room for all."""
        self._more = not self._more
        self.redraw()

    @property
    def rows_wanted(self) -> int:
        """How many rows show every scope."""
        return 3 + max(1, len(self._rows))

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed table, scrolled so that the selected row is in view."""
        title = line(("over the whole run", "title"))
        if not self._rows:
            return framed(centred(self._empty, width - 2, height - 2), width, height, title=title)
        room = max(1, height - 3)
        if self._selected < self._first:
            self._first = self._selected
        elif self._selected >= self._first + room:
            self._first = self._selected - room + 1
        self._first = max(0, min(self._first, len(self._rows) - room))
        rows = self._rows[self._first : self._first + room]
        body = table_rows(rows, width - 2, self._selected - self._first, more=self._more)
        few = line((f"○ fewer than {FEW} checkpoints", "dim"))
        left = more_below(len(self._rows) - self._first, room)
        rights = [joined([left, few], (" · ", "dim")), left or few]
        if not fits_all(width - 2):
            turn = line(("v", "key"), (" r" if self._more else " rank, pairs, noise", "dim"))
            rights = [joined([left, few, turn], (" · ", "dim")), joined([left, turn], " "), turn]
        return framed(body, width, height, title=title, rights=rights)

    def on_click(self, event: Click) -> None:
        """Select the row that was clicked."""
        index = self._first + event.y - 2
        if event.y >= 2 and index < len(self._rows):
            self.post_message(self.Chosen(index))


def fits_all(width: int) -> bool:
    """Whether r and everything else fit side by side."""
    return width >= _LEAST_NAME + 2 * (_R_WIDTH + _MORE_WIDTH)


def table_rows(
    rows: Sequence[ScopeRow], width: int, selected: int | None = None, *, more: bool = False
) -> list[Line]:
    """Return the table's head and one row per scope; ``more`` leaves r out where room is short."""
    both = fits_all(width)
    with_r, with_more = both or not more, both or more
    group = _R_WIDTH + _MORE_WIDTH if both else _MORE_WIDTH if more else 0
    if not both and not more:
        group = min(_LONGEST_R, max(20, (width - _LEAST_NAME) // 2))
    name_width = max(_LEAST_NAME if both else 8, min(24, width - 2 * group))
    r_width = group - _MORE_WIDTH if both else group
    heads: list[Piece] = [(" " * name_width, "")]
    for proxy in PROXIES:
        if with_r:
            heads.append((pad(f" {proxy} r, 95 %", r_width), proxy))
        if with_more:
            for head, room in _MORE:
                heads.append((pad(head, room, right=True), "dim" if with_r else proxy))
    lines = [line(*heads)]
    for number, row in enumerate(rows):
        mark = "▸" if number == selected else " "
        name = pad(f"{mark}{scope_name(row.scope)}", name_width)
        role: Role = "strong" if row.scope == MACRO or number == selected else ""
        cells: list[Piece] = [(name, role)]
        for whole, track in zip(row.whole, row.tracks, strict=True):
            if with_r:
                text, look = r_cell(whole)
                cells.append((pad(text, r_width), look))
            if with_more:
                cells += more_cells(track)
        lines.append(line(*cells))
    return lines


def r_cell(found: Correlation | None) -> tuple[str, Role]:
    """Return r with interval and n; hollow where there are few checkpoints."""
    if found is None:
        return " –", "dim"
    if found.r is None:
        return f" – {safe(found.reason or '')}", "dim"
    mark = "○" if found.n < FEW else " "
    text = f"{mark}{words.signed(found.r)} {words.interval(found.low, found.high)} n={found.n}"
    return text, "dim" if found.n < FEW else ""


def more_cells(track: Track | None) -> list[Piece]:
    """Return rank correlation, decision accuracy, noise and monotonicity."""
    texts = ["–"] * len(_MORE)
    if track is not None:
        share = track.decision_accuracy
        texts = [
            words.signed(track.spearman),
            "–" if share is None else f"{share * 100:.0f} %",
            "–" if track.noise is None else f"{track.noise:.3f}",
            words.signed(track.monotonicity),
        ]
    few = track is None or track.n < FEW
    return [
        (pad(text, room, right=True), "dim" if few or text == "–" else "")
        for text, (_, room) in zip(texts, _MORE, strict=True)
    ]
