"""A page that stands alone: no script, no request, readable on light and dark ground and paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ctv_engine.report.blocks import Block, Cell, Grid, Picture, Section, Sentence
from ctv_engine.report.drawing import inline
from ctv_engine.report.snapshot import Asked
from ctv_engine.report.style import CSS

FIGURES = "figures"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Page:
    """Title, lines under it, and sections."""

    title: str
    lines: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All figures, in their order."""
        return tuple(b for s in self.sections for b in s.blocks if isinstance(b, Picture))

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All queries, each once."""
        found: dict[str, Asked] = {}
        for section in self.sections:
            for block in section.blocks:
                if not isinstance(block, Sentence):
                    found |= {one.name: one for one in block.asked}
        return tuple(found.values())


def html_of(page: Page) -> str:
    """Return the page as HTML."""
    return "\n".join(_parts(page)) + "\n"


def text_of(page: Page) -> str:
    """Return the short version: title, lines, and what each section has to say."""
    parts = ["\n".join([page.title, *page.lines])]
    for section in page.sections:
        if section.summary:
            said = "\n".join(f"  {line}" for line in section.summary)
            parts.append(f"{section.title}\n{said}")
    return "\n\n".join(parts) + "\n"


def _parts(page: Page) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{escape(page.title)}</title><style>{CSS}</style></head><body>"
    yield f"<header><h1>{escape(page.title)}</h1>"
    yield from (f"<p>{escape(line)}</p>" for line in page.lines)
    links = (f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in page.sections)
    yield f"<nav>{' '.join(links)}</nav></header><main>"
    yield from _summary(page.sections)
    for section in page.sections:
        yield f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>'
        for block in section.blocks:
            yield from _block(block)
        yield "</section>"
    yield "</main><footer><p>Every figure and table names the queries behind it: run them on the"
    yield "database (<code>sqlite3 FILE</code>) and they return the rows of the CSV files beside"
    yield "this page. What is missing is shown as – with its reason, never as 0.</p></footer>"
    yield "</body></html>"


def _summary(sections: Sequence[Section]) -> Iterator[str]:
    yield '<section id="summary"><h2>In short</h2><dl>'
    for section in sections:
        for fact in section.facts:
            yield f'<div><dt><a href="#{section.anchor}">{escape(fact.what)}</a></dt>'
            yield f'<dd class="{fact.look or "plain"}">{escape(fact.value)}</dd>'
            yield f"<dd><small>{escape(fact.small)}</small></dd></div>"
    yield "</dl></section>"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Sentence):
        yield f'<p class="{block.look or "plain"}">{escape(_capital(block.text))}.</p>'
    elif isinstance(block, Picture):
        title = escape(block.title)
        name = f"figure-{block.name}"
        yield f'<figure id="{name}">{inline(block.svg, name, escape(block.alt))}'
        yield f"<figcaption>{title}. Files: <code>{FIGURES}/{block.name}.svg</code>, "
        yield f"<code>.png</code></figcaption>{_behind(block.asked, block.computed)}</figure>"
    elif block.folded:
        yield f'<details class="folded"><summary>{escape(block.caption)}</summary>'
        yield from _grid(block)
        yield "</details>"
    else:
        yield from _grid(block)


def _grid(block: Grid) -> Iterator[str]:
    yield f'<div class="table"><table><caption>{escape(block.caption)}</caption><thead><tr>'
    yield "".join(f'<th scope="col">{escape(head)}</th>' for head in block.heads)
    yield "</tr></thead><tbody>"
    for row in block.rows:
        cells = "".join(map(_cell, row[1:]))
        first = row[0] if isinstance(row[0], Cell) else Cell(row[0])
        yield f'<tr><th scope="row">{_inside(first)}</th>{cells}</tr>'
    yield f"</tbody></table></div>{_behind(block.asked, block.computed)}"


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return (
        f'<td class="{cell.look}">{_inside(cell)}</td>'
        if cell.look
        else f"<td>{_inside(cell)}</td>"
    )


def _inside(cell: Cell) -> str:
    small = f" <small>{escape(cell.small)}</small>" if cell.small else ""
    return escape(cell.text) + small


def _behind(asked: Sequence[Asked], computed: str) -> str:
    """Return the queries behind a block, and what was done with their rows."""
    said = f"<p>{escape(_capital(computed))}.</p>" if computed else ""
    shown = "".join(
        f"<p><code>{FIGURES}/{one.name}.csv</code>, {len(one.rows):,} rows</p>"
        f'<pre class="sql" data-csv="{one.name}">{escape(one.sql)}</pre>'
        for one in asked
    )
    head = "<summary>Where these numbers come from</summary>"
    return f'<details class="behind">{head}{said}{shown}</details>'
