"""Lines of text with roles: what a widget draws before it has colours. Pure, so easy to test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ctv_tui.data.safe_text import cells, shorten
from ctv_tui.theme import Role

Piece = tuple[str, Role]
Line = tuple[Piece, ...]

EIGHTHS = " ▏▎▍▌▋▊▉█"
RISING = " ▁▂▃▄▅▆▇█"


def line(*pieces: Piece | str) -> Line:
    """Return a line of pieces; a bare string has no role."""
    return tuple((p, "") if isinstance(p, str) else p for p in pieces if p and p != ("", ""))


def joined(parts: Iterable[Line], separator: Piece | str) -> Line:
    """Return the parts that are not empty with a separator between them."""
    whole: Line = ()
    for part in parts:
        if part:
            whole = line(*whole, separator, *part) if whole else part
    return whole


def text_of(one: Line) -> str:
    """Return a line without its roles."""
    return "".join(text for text, _ in one)


def width_of(one: Line) -> int:
    """Return how many cells a line takes."""
    return sum(len(text) if text.isascii() else cells(text) for text, _ in one)


def fitted(one: Line, width: int) -> Line:
    """Return a line cut (with an ellipsis) or filled to exactly ``width`` cells."""
    room = width - width_of(one)
    if room == 0:
        return one
    if room > 0:
        return (*one, (" " * room, ""))
    kept: list[Piece] = []
    left = width
    for text, role in one:
        taken = cells(text)
        if taken >= left:
            cut = text if taken == left and text is one[-1][0] else shorten(text + "…", left)
            kept.append((cut, role))
            left -= cells(cut)
            break
        kept.append((text, role))
        left -= taken
    return (*kept, (" " * left, "")) if left else tuple(kept)


def spread(left: Line, right: Line, width: int) -> Line:
    """Return a line with something at both ends; the left one gives way."""
    room = width - width_of(right)
    if room <= 1:
        return fitted(left, width)
    return (*fitted(left, room), *right)


def first_that_fits(width: int, candidates: Iterable[Line]) -> Line:
    """Return the first candidate that fits, or the last one cut."""
    chosen: Line = ()
    for chosen in candidates:
        if width_of(chosen) <= width:
            break
    return fitted(chosen, width)


def framed(
    body: Sequence[Line],
    width: int,
    height: int,
    *,
    title: Line = (),
    rights: Sequence[Line] = (),
    selected: bool = False,
) -> list[Line]:
    """Return ``body`` in a box of the given outer size with a title.

    At the right stands the first of ``rights`` that fits beside the title.
    """
    inner = width - 2
    if inner < 1 or height < 2:
        return [fitted((), width)] * height
    edge: Role = "strong" if selected else "frame"
    room = inner - width_of(title) - 6
    fitting = [right for right in rights if right and width_of(right) <= room]
    shown_right = line(" ", *fitting[0], " ") if fitting else ()
    shown_title = line(" ", *title, " ") if title else ()
    if width_of(shown_title) > inner - 1:
        shown_title = fitted(shown_title, max(0, inner - 1))
    dashes = inner - 1 - width_of(shown_title) - width_of(shown_right)
    if shown_right and dashes > 0:
        top = line(
            ("┌─", edge), *shown_title, ("─" * (dashes - 1), edge), *shown_right, ("─┐", edge)
        )
    else:
        top = line(("┌─", edge), *shown_title, ("─" * dashes, edge), *shown_right, ("┐", edge))
    rows = [
        line(("│", edge), *fitted(body[row] if row < len(body) else (), inner), ("│", edge))
        for row in range(height - 2)
    ]
    return [top, *rows, line(("└" + "─" * inner + "┘", edge))]


def centred(message: str, width: int, height: int, role: Role = "dim") -> list[Line]:
    """Return a sentence in the middle of an empty area, wrapped at blanks."""
    wrapped: list[str] = []
    for word in message.split():
        if wrapped and cells(wrapped[-1]) + 1 + cells(word) <= width - 2:
            wrapped[-1] += f" {word}"
        else:
            wrapped.append(shorten(word, max(1, width - 2)))
    top = max(0, (height - len(wrapped)) // 2)
    blank = fitted((), width)
    rows = [blank] * top
    for text in wrapped[: height - top]:
        rows.append(fitted(line(" " * ((width - cells(text)) // 2), (text, role)), width))
    return [*rows, *[blank] * (height - len(rows))]


def more_below(rows: int, room: int) -> Line:
    """Return a hint that a list goes on below its frame, or nothing."""
    return line((f"{rows - room} more ↓ j k", "dim")) if rows > room else ()


def bar(share: float, width: int) -> str:
    """Return a horizontal bar of ``width`` cells, filled to ``share`` in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (EIGHTHS[rest] if rest else "")
    return text + " " * (width - len(text))


def sparkline(values: Sequence[float | None], width: int, top: float = 100.0) -> str:
    """Return values as bars of eighths, the newest at the right; a gap is a blank.

    More values than columns are joined to each column's mean.
    """
    columns = min(width, len(values))
    shown = []
    for column in range(columns):
        start, end = (n * len(values) // columns for n in (column, column + 1))
        known = [v for v in values[start:end] if v is not None]
        if known:
            level = round(max(0.0, min(1.0, sum(known) / len(known) / top)) * 8)
            shown.append(RISING[max(1, level)])
        else:
            shown.append(" ")
    return "".join(shown).rjust(max(0, width))
