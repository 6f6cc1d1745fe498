"""One item: what was asked, how sure the model was of every option, what it wrote, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctv_engine.suite import LETTERS
from ctv_tui.data import safe, words
from ctv_tui.data.item_rows import ClosedAnswer, ItemDetail, OpenAnswer, Picture
from ctv_tui.data.safe_text import cells, pad, shorten, whole_words, wrapped
from ctv_tui.theme import Role
from ctv_tui.widgets.item_list import share
from ctv_tui.widgets.lines import Line, bar, centred, framed, line, more_below, sparkline, width_of
from ctv_tui.widgets.scrolled import Scrolled

_LABEL_WIDTH = 10
_QUESTION_LINES = 6
_ANSWER_LINES = 4
_BAR_WIDTH = 12
_WIDE_BAR_WIDTH = 24
_OPTION_MOST = 60
_HISTORY_MOST = 40


class ItemView(Scrolled):
    """Draws an :class:`ItemDetail` as of one step; scrolls."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._detail: ItemDetail | None = None
        self._step = 0
        self._place = ""
        self._sentence = ""

    def show(self, detail: ItemDetail | None, step: int, place: str, sentence: str) -> None:
        """Show ``detail`` as of ``step``, or ``sentence`` until it was read."""
        new = (detail, step, place, sentence)
        if new == (self._detail, self._step, self._place, self._sentence) and self._lines:
            return
        if detail is None or self._detail is None or detail.id != self._detail.id:
            self._first = 0
        self._detail, self._step, self._place, self._sentence = new
        self.redraw()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Return the framed item."""
        detail, room = self._detail, height - 2
        if detail is None:
            body = centred(self._sentence, width - 2, room)
            return framed(body, width, height, title=line(("item", "title")))
        body = item_lines(detail, self._step, width - 2)
        first = self.clamped(len(body), room)
        name = whole_words(f"{safe(detail.dataset)} · {safe(detail.key)}", width * 2 // 3)
        keys = line(("n N", "key"), (" next, previous  ", "dim"), ("esc", "key"), (" list", "dim"))
        more = more_below(len(body) - first, room)
        rights = [line(*more, "  " if more else "", (self._place, "dim"), "  ", *keys)]
        rights += [line(*more, "  " if more else "", *keys), more]
        return framed(body[first:], width, height, title=line((name, "title")), rights=rights)


def item_lines(detail: ItemDetail, step: int, width: int) -> list[Line]:
    """Return everything there is to say about an item as of ``step``."""
    text_width = max(8, width - _LABEL_WIDTH - 2)
    lines: list[Line] = []
    question = safe(detail.question)
    lines += labelled(
        "question", limited(question, detail.question_left_out, text_width, _QUESTION_LINES)
    )
    lines += labelled("picture", [line(*picture_line(detail.picture, text_width))])
    accepted = " · ".join(safe(answer) for answer in detail.answers) or "none given"
    lines += labelled("accepted", limited(accepted, 0, text_width, 2))
    lines.append(())
    lines += _closed_lines(detail, step, width)
    lines.append(())
    lines += _open_lines(detail.opened, step, width)
    return lines


def labelled(label: str, texts: Sequence[Line]) -> list[Line]:
    """Return lines with a label before the first of them."""
    return [
        line((pad(f" {label if not n else ''}", _LABEL_WIDTH), "dim"), *text)
        for n, text in enumerate(texts)
    ]


def limited(text: str, left_out: int, width: int, most: int) -> list[Line]:
    """Return a text in at most ``most`` lines; what is left is counted in characters."""
    rows = wrapped(text, width)
    hidden = sum(len(row) + 1 for row in rows[most:]) - bool(rows[most:]) + left_out
    shown = [line(row) for row in rows[:most]]
    if hidden:
        shown.append(line((f"… {hidden:,} more characters", "dim")))
    return shown


def picture_line(picture: Picture, width: int) -> Line:
    """Return a picture's path, cut at its start, with its size or what is wrong with it."""
    said = []
    if picture.pixels:
        said.append(f"{picture.pixels[0]}×{picture.pixels[1]}")
    if picture.bytes is not None:
        said.append(words.size(picture.bytes))
    if picture.trouble:
        said.append(picture.trouble)
    facts = ", ".join(said)
    path = safe(picture.path)
    room = width - cells(facts) - 2
    if cells(path) > room:
        end = path[-max(1, room - 1) :]
        path = "…" + (end[end.index("/") :] if "/" in end else end)
        path = path if cells(path) <= room else shorten(path, room)
    role: Role = "warning" if picture.trouble else "dim"
    return line(path, "  ", (facts, role)) if path else line((facts, role))


# --- closed ---------------------------------------------------------------------------------------


def _closed_lines(detail: ItemDetail, step: int, width: int) -> list[Line]:
    if not detail.options:
        return [line((" closed", "closed"), ("   this item has no options", "dim"))]
    found = _at(detail.closed, step)
    head: Line = line((" closed", "closed"))
    if found is None:
        head = line(*head, ("   no answer yet", "dim"))
    elif found.failed is not None:
        head = line(*head, f" at step {found.step}: ", (f"failed: {safe(found.failed)}", "error"))
    else:
        letter = safe(found.letter or "–")
        verdict: dict[bool | None, tuple[str, Role]] = {
            True: (f"{letter} ✓ right", "good"),
            False: (f"{letter} ✗ wrong", "error"),
            None: (letter, ""),
        }
        head = line(
            *head,
            f" at step {found.step}: ",
            verdict[found.correct],
            (f"  option mass {share(found.option_mass)}", "dim"),
        )
    history = min(_HISTORY_MOST, len(detail.closed), max(0, width // 4))
    bar_width = _WIDE_BAR_WIDTH if width >= 100 else _BAR_WIDTH
    longest = max(cells(safe(option)) for option in detail.options)
    text_width = max(6, min(_OPTION_MOST, longest, width - bar_width - history - 16))
    if history >= 2:
        note = f"steps {detail.closed[0].step} … {detail.closed[-1].step}"
        column = max(15 + text_width + bar_width, width_of(head) + 2)
        if column + cells(note) < width:
            head = line(*head, " " * (column - width_of(head)), (note, "dim"))
    rows = [head]
    for index, option in enumerate(detail.options):
        letter = LETTERS[index] if index < len(LETTERS) else "?"
        mark = "▸" if found is not None and found.letter == letter else " "
        key = index == detail.gold_index
        value = found.shares[index] if found and index < len(found.shares) else None
        values = [
            100.0 * one.shares[index] if index < len(one.shares) else None for one in detail.closed
        ]
        role: Role = "strong" if key else ""
        rows.append(
            line(
                f" {mark}",
                (f"{letter}{'✓' if key else ' '} ", "good" if key else "dim"),
                (pad(whole_words(safe(option), text_width), text_width), role),
                "  ",
                (bar(value or 0.0, bar_width), "closed"),
                (pad(share(value), 6, right=True), role),
                "  ",
                (sparkline(values, history) if history >= 2 else "", "closed"),
            )
        )
    if found is not None and found.failed is None and not found.shares:
        rows.append(line(("     the options' probabilities are not recorded", "dim")))
    rows += [
        line((f"   failed at step {one.step}: {safe(one.failed)}", "error"))
        for one in detail.closed
        if one.failed is not None and one is not found
    ]
    return [line(*row) for row in rows]


def _at(answers: Sequence[ClosedAnswer], step: int) -> ClosedAnswer | None:
    """Return the answer at ``step``, else the last one before it, else the first."""
    earlier = [one for one in answers if one.step <= step]
    return earlier[-1] if earlier else answers[0] if answers else None


# --- open -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Same:
    """Neighbouring checkpoints that wrote the same."""

    first: int
    last: int
    count: int
    answer: OpenAnswer


def _open_lines(opened: Sequence[OpenAnswer], step: int, width: int) -> list[Line]:
    if not opened:
        return [line((" open", "open"), ("     no answer yet", "dim"))]
    groups = _grouped(opened)
    label = max(len(_span(group)) for group in groups) + 4
    text_width = max(8, width - label - 8)
    right = sum(1 for one in opened if (one.score or 0.0) >= 1.0)
    total = sum(1 for one in opened if one.failed is None and one.unscored is None)
    verdict = f"right at {right} of {total} checkpoints" if total else "none has a score"
    rows = [line((" open", "open"), f" answers, newest first: {verdict}")]
    for group in reversed(groups):
        one = group.answer
        mark = "▸" if group.first <= step <= group.last else " "
        start = line(pad(f" {mark}{_span(group)}", label))
        if one.failed is not None:
            texts = limited(f"failed: {safe(one.failed)}", 0, text_width + 6, _ANSWER_LINES)
            texts = [line(*((t, "error") for t, _ in text)) for text in texts]
            score = ""
        else:
            text = safe(one.text or "") or "(empty)"
            texts = limited(text, one.left_out, text_width, _ANSWER_LINES)
            if one.finish_reason not in (None, "stop"):
                texts[-1] = line(*texts[-1], (f"  [{_ended(one)}]", "warning"))
            if one.unscored is not None:
                why = limited(f"no score: {safe(one.unscored)}", 0, text_width, _ANSWER_LINES)
                texts += [line(*((t, "dim") for t, _ in text)) for text in why]
            score = pad(share(one.score), 6)
        role: Role = "good" if (one.score or 0.0) >= 1.0 else "error" if one.score == 0 else ""
        for number, content in enumerate(texts):
            lead = start if not number else line(" " * label)
            shown = (score if not number else " " * len(score), role)
            rows.append(line(*lead, shown, *content))
    return rows


def _ended(one: OpenAnswer) -> str:
    tokens = f" at {one.output_tokens:,} tokens" if one.output_tokens is not None else ""
    reason = {"length": "cut", "repeat": "went round in circles"}.get(
        one.finish_reason or "", safe(one.finish_reason or "")
    )
    return f"{reason}{tokens}"


def _span(group: _Same) -> str:
    return str(group.first) if group.count == 1 else f"{group.first}–{group.last}"


def _grouped(opened: Sequence[OpenAnswer]) -> list[_Same]:
    groups: list[_Same] = []
    for one in opened:
        last = groups[-1] if groups else None
        if last is not None and _content(last.answer) == _content(one):
            groups[-1] = _Same(last.first, one.step, last.count + 1, last.answer)
        else:
            groups.append(_Same(one.step, one.step, 1, one))
    return groups


def _content(one: OpenAnswer) -> object:
    return one.text, one.left_out, one.score, one.failed, one.unscored, one.finish_reason
