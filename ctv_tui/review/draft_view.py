"""One converted item: question, options with the votes beside them, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.construction.journal import Draft, Vote
from ctv_engine.suite import LETTERS
from ctv_tui.data import safe
from ctv_tui.data.item_rows import Picture
from ctv_tui.data.safe_text import cells, pad, shorten, whole_words
from ctv_tui.review.queue_list import MARKS
from ctv_tui.theme import Role
from ctv_tui.widgets.item_view import labelled, limited, picture_line
from ctv_tui.widgets.lines import Line, centred, framed, line, more_below
from ctv_tui.widgets.scrolled import Scrolled

_MOST_CHARACTERS = 2000
_QUESTION_LINES = 8
_REASON_LINES = 3
_OPTION_LINES = 3
_ANNOTATOR_MOST = 24
_LABEL_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """An item with all that is said about it. ``votes_older``: it was edited after the votes."""

    draft: Draft
    votes: tuple[Vote, ...]
    picture: Picture
    metric: str | None
    votes_older: bool


class DraftView(Scrolled):
    """Draws a :class:`Shown`; scrolls."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._shown: Shown | None = None
        self._sentence = ""

    def show(self, shown: Shown | None, sentence: str) -> None:
        """Show an item, or a sentence where there is none."""
        if shown is None or self._shown is None or shown.draft.id != self._shown.draft.id:
            self._first = 0
        self._shown, self._sentence = shown, sentence
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed item."""
        shown, room = self._shown, height - 2
        if shown is None:
            body = centred(self._sentence, width - 2, room)
            return framed(body, width, height, title=line(("item", "title")))
        draft = shown.draft
        body = draft_lines(shown, width - 2)
        first = self.clamped(len(body), room)
        name = f"{safe(draft.dataset[:200])} · {safe(draft.key[:200])}"
        mark, role = MARKS.get(draft.state, ("·", "dim"))
        state = line((f"{mark} {draft.state}", role))
        left = len(body) - first - room
        more = more_below(len(body) - first, room)
        if more:
            more = line((f"{left} more ↓ PgDn", "dim"))
        title = line((whole_words(name, width * 2 // 3), "title"))
        rights = [line(*more, "  ", *state) if more else state, state]
        return framed(body[first:], width, height, title=title, rights=rights)


def draft_lines(shown: Shown, width: int) -> list[Line]:
    """Return everything there is to say about an item."""
    draft = shown.draft
    room = max(8, width - _LABEL_WIDTH - 2)
    rows = labelled(str(draft.state), limited(_text(draft.reason), 0, room, 2)) * bool(draft.reason)
    question = [
        one
        for part in draft.question[:_MOST_CHARACTERS].splitlines() or [""]
        for one in limited(safe(part), 0, room, _QUESTION_LINES)
    ]
    hidden = len(draft.question) - _MOST_CHARACTERS
    question = question[:_QUESTION_LINES]
    if hidden > 0:
        question.append(line((f"… {hidden:,} more characters", "dim")))
    rows += labelled("question", question)
    rows += labelled("picture", [picture_line(shown.picture, room)])
    rows.append(())
    rows += _options(shown, width)
    rows.append(())
    rows += _votes(shown, width)
    rows.append(())
    answers = " · ".join(_text(answer) for answer in draft.answers[:50]) or "none given"
    rows += labelled("accepted", limited(answers, 0, room, 3))
    rows += labelled("metric", [line(_text(shown.metric))] if shown.metric else [])
    source = f"{_text(draft.origin.file)} row {draft.origin.row}"
    rows += labelled("source", limited(source, 0, room, 2))
    made = [f"{name} {_stated(value)}" for name, value in draft.provenance.items()]
    rows += labelled("made", limited(_text(" · ".join(made)), 0, room, 4)) if made else []
    return rows


def _options(shown: Shown, width: int) -> list[Line]:
    draft = shown.draft
    if not draft.options:
        return [line((" this item has no options", "dim"))]
    texts = [_text(option) for option in draft.options]
    choosers = [
        ", ".join(_name(vote) for vote in shown.votes if vote.choice == place)
        for place in range(len(texts))
    ]
    widest = max(map(cells, texts))
    beside = min(max(map(cells, choosers)) + 2, width // 2) if any(choosers) else 0
    room = max(8, min(widest, width - beside - 13))
    rows: list[Line] = []
    for place, text in enumerate(texts):
        is_key = place == draft.gold_index
        letter = LETTERS[place] if place < len(LETTERS) else "?"
        parts = limited(text, 0, room, _OPTION_LINES)
        for number, part in enumerate(parts):
            shown_text = pad("".join(piece for piece, _ in part), room)
            role: Role = "strong" if is_key else ""
            if number:
                rows.append(line(" " * 6, (shown_text, role)))
                continue
            who = shorten(choosers[place], beside) if beside else ""
            rows.append(
                line(
                    "  ",
                    (f"{letter}{'✓' if is_key else ' '}", "good" if is_key else "dim"),
                    "  ",
                    (shown_text, role),
                    ("  key" if is_key else "     ", "good"),
                    ("  ← " if who else "", "dim"),
                    (who, "good" if is_key else "warning"),
                )
            )
    return rows


def _votes(shown: Shown, width: int) -> list[Line]:
    if not shown.votes:
        return [line((" votes     ", "dim"), ("none", "dim"))]
    older = "  of the item as it was before it was edited" if shown.votes_older else ""
    rows = [line((" votes", "dim"), (older, "warning"))]
    names = max(cells(_name(vote)) for vote in shown.votes)
    for vote in shown.votes:
        right = vote.choice == shown.draft.gold_index
        known = vote.choice is not None and vote.choice < len(LETTERS)
        letter = LETTERS[vote.choice] if known and vote.choice is not None else "–"
        lead = line(
            f"  {pad(_name(vote), names)}  ",
            (f"{letter} {'✓' if right else '✗'}  ", "good" if right else "error"),
        )
        start = names + 9
        said = limited(_text(vote.reason) or "–", 0, max(8, width - start - 1), _REASON_LINES)
        rows.append(line(*lead, *said[0]))
        rows += [line(" " * start, *rest) for rest in said[1:]]
    return rows


def _stated(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_stated, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(vote: Vote) -> str:
    return shorten(safe(vote.annotator[:200]), _ANNOTATOR_MOST)


def _text(text: str | None) -> str:
    text = text or ""
    return safe(text[:_MOST_CHARACTERS]) + ("…" if len(text) > _MOST_CHARACTERS else "")
