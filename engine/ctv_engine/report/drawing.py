"""Figures with matplotlib: one look, as SVG that a page can hold and as PNG."""

from __future__ import annotations

import io
import logging
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

PAPER, INK, DIM, GRID = "#ffffff", "#1b1f24", "#5b6570", "#d6dade"
CLOSED, OPEN, GOLD = "#0072b2", "#c24e00", "#007a5a"
LOAD, INPUT, PREFILL, DECODE, SCORE = "#6b7280", "#b9c0c8", "#0b6fae", "#f0a271", "#9c7fc0"
COLOURS = {"closed": CLOSED, "open": OPEN, "gold": GOLD}
LINES = {"closed": "-", "open": ":", "gold": (0, (1, 0))}
MARKERS = {"closed": "o", "open": "s", "gold": "D"}
LETTERS = {"closed": "C", "open": "O", "gold": "G"}
RUN_COLOURS = (
    "#0072b2",
    "#c24e00",
    "#007a5a",
    "#8a3f7c",
    "#7a5c00",
    "#3d4a57",
    "#a3123a",
    "#2b7f8c",
)
RUN_LINES: tuple[Any, ...] = (
    "-",
    ":",
    "--",
    "-.",
    (0, (5, 1)),
    (0, (3, 1, 1, 1)),
    (0, (1, 3)),
    "--",
)

ROLES = {
    PAPER: "paper", INK: "ink", DIM: "dim", GRID: "grid", CLOSED: "closed", OPEN: "open",
    GOLD: "gold", LOAD: "load", INPUT: "input", PREFILL: "prefill", DECODE: "decode",
    SCORE: "score",
}  # fmt: skip
"""The colours that a page has a variable for, so that it can be read on dark ground too."""

_STYLE: Any = {
    "axes.edgecolor": DIM,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "ctv-tui",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": DIM,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": DIM,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
_PNG_DPI = 130


def styled() -> Any:
    """Return a context in which figures have this look."""
    return mpl.rc_context(_STYLE)


def sheet(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def rendered(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as SVG and as PNG."""
    svg, png = io.StringIO(), io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in a script that the font lacks
        figure.savefig(svg, format="svg", metadata=nothing)
        figure.set_layout_engine("none")  # the second drawing keeps the places of the first
        figure.savefig(png, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    return _plain(svg.getvalue()), png.getvalue()


def _plain(svg: str) -> str:
    """Return the SVG without what points elsewhere or names its groups."""
    svg = re.sub(r"<!DOCTYPE.*?>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<(?:path|use)\b[^>]+>", _short, svg)
    return re.sub(r'<g id="[^"]*"', "<g", svg)


def _short(tag: re.Match[str]) -> str:
    """Return a tag with places to a hundredth of a point."""
    return re.sub(r"(\.\d\d)\d+", r"\1", tag.group()).replace(" \n", "\n")


def inline(svg: str, name: str, title: str) -> str:
    """Return an SVG to stand in a page: its own ids, a title, and colours that the page decides.

    ``title`` is already escaped.
    """
    svg = re.sub(r"<\?xml.*?\?>\s*", "", svg)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _own(tag.group(), name), svg)
    head, body = svg.split(">", 1)
    head = head.replace("<svg", f'<svg role="img" aria-labelledby="{name}-title"', 1)
    return f'{head}><title id="{name}-title">{title}</title>{body}'


def _own(tag: str, name: str) -> str:
    """Return a tag with ids that no other figure has, and with the page's colours."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = tag.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    tag = re.sub(r' xmlns(:xlink)?="[^"]*"', "", tag)
    for colour, role in ROLES.items():
        tag = tag.replace(colour, f"var(--{role})")
    return tag


def score_limits(values: list[float]) -> tuple[float, float]:
    """Return a range on the grid of 0.1 that holds all values, within 0 … 1 where they are."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = max(0.02, 0.06 * (high - low))
    bottom = max(0.0, low - pad) if low >= 0 else low - pad
    top = min(1.02, high + pad) if high <= 1 else high + pad
    return bottom, max(top, bottom + 0.1)


def bare(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.text(
        0.5, 0.5, text, ha="center", va="center", color=DIM, wrap=True, transform=axes.transAxes
    )
