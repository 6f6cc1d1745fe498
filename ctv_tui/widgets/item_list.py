"""The list of items: what was asked, what the checkpoint answered, how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from ctv_tui.data import safe
from ctv_tui.data.item_rows import ItemLine, ItemPage, ItemQuery
from ctv_tui.data.safe_text import cells, pad, shorten, whole_words
from ctv_tui.theme import Role
from ctv_tui.widgets.lines import Line, Piece, centred, first_that_fits, framed, joined, line
from ctv_tui.widgets.scrolled import Scrolled

_NAME_MOST = 20
_KEY_MOST = 12
_LETTER_WIDTH = 7
_NUMBER_WIDTH = 7
_NARROW_NUMBER_WIDTH = 5
_ALL_NUMBERS_WIDTH = 100
_LEAST_TEXT = 14
FIXED_ROWS = 4
"""Rows besides the items: frame, choices, heads."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What was asked for, and whether the page that is shown answers it already."""

    query: ItemQuery
    datasets: tuple[str, ...]
    reading: bool


class ItemList(Scrolled):
    """Draws the loaded part of a list; one row is selected."""

    class Chosen(Message):
        """A row was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    class Turned(Message):
        """The mouse wheel was turned."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._page: ItemPage | None = None
        self._choices = Choices(ItemQuery(), (), True)
        self._selected = 0
        self._sentence = ""

    def show(self, page: ItemPage | None, choices: Choices, selected: int, sentence: str) -> None:
        """Show ``page`` with its selected row, or ``sentence`` where there is no page yet."""
        new = (page, choices, selected, sentence)
        if new != (self._page, self._choices, self._selected, self._sentence) or not self._lines:
            self._page, self._choices, self._selected, self._sentence = new
            self.redraw()

    @property
    def room(self) -> int:
        """How many items are in view."""
        return max(1, self.size.height - FIXED_ROWS)

    def in_view(self, selected: int, matching: int) -> tuple[int, int]:
        """Return the first row in view and the one after the last, with ``selected`` in view."""
        self.show_row(selected, self.room)
        first = self.clamped(matching, self.room)
        return first, min(matching, first + self.room)

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed list."""
        page, inner = self._page, width - 2
        title = line(("items", "title"))
        choices = choice_line(self._choices, inner)
        if page is None:
            body = [choices, *centred(self._sentence, inner, height - 3)]
            return framed(body, width, height, title=title)
        title = line(*title, f" · checkpoint-{page.step}")
        first, end = self.in_view(self._selected, page.matching)
        names = self._choices.datasets
        body = [choices, *item_rows(page, first, end, self._selected, inner, names)]
        if not page.matching:
            body = [choices, *centred(page.trouble or "no item is like that", inner, height - 3)]
        return framed(body, width, height, title=title, rights=_counts(page, self._choices.reading))

    def on_click(self, event: Click) -> None:
        """Choose the row that was clicked."""
        index = self._first + event.y - FIXED_ROWS + 1
        if self._page is not None and event.y >= FIXED_ROWS - 1 and index < self._page.matching:
            self.post_message(self.Chosen(index))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Select a row further down."""
        event.stop()
        self.post_message(self.Turned(3))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Select a row further up."""
        event.stop()
        self.post_message(self.Turned(-3))


def _counts(page: ItemPage, reading: bool) -> list[Line]:
    count = f"{page.matching:,} of {page.total:,}"
    against = f" · → changed since step {page.step_before}" if page.step_before is not None else ""
    if reading:
        return [line(("reading…", "dim"))]
    return [line((count + against, "dim")), line((count, "dim"))]


def choice_line(choices: Choices, width: int) -> Line:
    """Return filter, dataset, order and search with their keys, shorter where there is no room."""
    query = choices.query
    dataset = "all" if query.dataset is None else safe(query.dataset)
    if query.dataset in choices.datasets:
        dataset += f" ({choices.datasets.index(query.dataset) + 1} of {len(choices.datasets)})"
    search = whole_words(safe(query.search), 24)
    chosen = (
        ("f", "filter", query.filter, query.filter != "all"),
        ("d", "dataset", dataset, query.dataset is not None),
        ("o", "order", query.order, query.order != "suite"),
        ("/", "search", search or "none", bool(search)),
    )
    long = [
        line((key, "key"), (f" {name} ", "dim"), (value, "strong" if on else ""))
        for key, name, value, on in chosen
    ]
    short = [line((key, "key"), " ", (value, "strong")) for key, _, value, on in chosen if on]
    brief = [line((key, "key"), (f" {name}", "dim")) for key, name, _, on in chosen if not on]
    return first_that_fits(
        width,
        (
            line(" ", *joined(long, "   ")),
            line(" ", *joined([*short, *brief], "  ")),
            line(" ", *joined(short or brief, "  ")),
        ),
    )


def item_rows(
    page: ItemPage,
    first: int,
    end: int,
    selected: int,
    width: int,
    datasets: Sequence[str] = (),
) -> list[Line]:
    """Return the list's head and the rows from ``first`` up to ``end``.

    The names of all ``datasets`` are given room, so that no column moves when others come in view.
    """
    names = [cells(safe(name)) for name in (*datasets, *(one.dataset for one in page.lines))]
    keys = [cells(safe(one.key)) for one in page.lines]
    name_width = min(_NAME_MOST, max(names, default=0)) + 2
    key_width = min(_KEY_MOST, max(keys, default=0)) + 2
    wide = width >= _ALL_NUMBERS_WIDTH
    number = _NUMBER_WIDTH if wide else _NARROW_NUMBER_WIDTH
    left = width - name_width - key_width - _LETTER_WIDTH - (3 if wide else 2) * number - 3
    answer_width = max(_LEAST_TEXT, left * 2 // 5)
    question_width = max(0, left - answer_width - 2)
    head = [
        pad(" dataset", name_width + 1),
        pad("key", key_width),
        pad("closed", _LETTER_WIDTH, right=True),
        pad("p(key)" if wide else "p", number, right=True),
        pad("mass", number, right=True) if wide else "",
        pad("open", number, right=True),
        "  ",
        pad("open answer", answer_width),
        "  ",
        pad("question", question_width) if question_width >= 8 else "",
    ]
    rows = [line(("".join(head), "dim"))]
    for index in range(first, end):
        place = index - page.query.first
        if not 0 <= place < len(page.lines):
            rows.append(line((" …", "dim")))
            continue
        one = page.lines[place]
        pieces: list[Piece] = [
            (" " + pad(shorten(safe(one.dataset), name_width - 2), name_width), ""),
            (pad(shorten(safe(one.key), key_width - 2), key_width), "dim"),
            *_closed(one),
            (pad(share(one.gold_prob), number, right=True), ""),
            (pad(share(one.option_mass), number, right=True) if wide else "", ""),
            (pad(share(one.score), number, right=True), _score_role(one.score)),
            ("  ", ""),
            _answer(one, answer_width),
            ("  ", ""),
            (pad(whole_words(safe(one.question), question_width), question_width), "dim"),
        ]
        if index == selected:
            text = "▸" + "".join(text for text, _ in pieces)[1:]
            rows.append(line((pad(text, width), "selected")))
        else:
            rows.append(line(*pieces))
    return rows


def share(value: float | None) -> str:
    """Return a number of 0…1 as ``.62`` or ``1.0``, or ``–``."""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0.") else text[:3]


def _closed(one: ItemLine) -> list[Piece]:
    if one.letter is None:
        return [(pad("–", _LETTER_WIDTH, right=True), "dim")]
    mark = {True: "✓", False: "✗", None: " "}[one.correct]
    before = f"{shorten(safe(one.letter_before), 1)}→" if one.letter_before else ""
    text = f"{before}{shorten(safe(one.letter), 2)}{mark}"
    role: Role = {True: "good", False: "error", None: ""}[one.correct]  # type: ignore[assignment]
    return [(pad(text, _LETTER_WIDTH, right=True), role)]


def _score_role(score: float | None) -> Role:
    if score is None:
        return "dim"
    return "good" if score >= 1.0 else "error" if score <= 0.0 else ""


def _answer(one: ItemLine, width: int) -> Piece:
    if one.failed is not None:
        return pad(whole_words(f"failed: {safe(one.failed)}", width), width), "error"
    if one.text is None:
        return pad("–", width), "dim"
    changed = "→ " if one.text_changed else ""
    text = safe(one.text) or "(empty)"
    return pad(whole_words(changed + text, width), width), "open"
