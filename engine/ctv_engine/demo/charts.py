"""The dataset of bar charts: real table columns drawn as four to seven coloured bars.

Numbers come from the tables that ship with ``vega-datasets`` (MIT). Questions ask how many bars
there are and what colour the tallest has; the answers are computed from the numbers, not from the
drawing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ctv_engine.demo.examples import (
    IMAGE_SIZE,
    Example,
    Picture,
    data_package,
    draw_sets,
    png_bytes,
)

PALETTE = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}
COUNTS = (4, 5, 6, 7)
COUNT_QUESTION = "how many bars are there?"
TALLEST_QUESTION = "what color is the tallest bar?"

_MAX_DRAWS = 10_000
# The tallest bar differs from the next by this share: five pixels of 64.
_CLEAR_MARGIN = 0.08
_TALLEST_PX = 60


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart's numbers and colours, left to right."""

    values: tuple[float, ...]
    colours: tuple[str, ...]

    def tallest(self) -> str:
        """Return the colour of the largest number."""
        return self.colours[self.values.index(max(self.values))]

    def facts(self) -> tuple[str, ...]:
        """Return what is asked about a chart: the number of bars, the colour of the tallest."""
        return (str(len(self.values)), self.tallest())


def read_columns() -> list[list[float]]:
    """Return the positive numbers of each table column that charts are drawn from."""
    local = data_package("vega_datasets").local_data
    weather, cars = local.seattle_weather(), local.cars()
    columns = [
        weather["wind"],
        weather["temp_max"],
        local.stocks()["price"],
        local.iowa_electricity()["net_generation"],
        local.barley()["yield"],
        local.wheat()["wheat"],
        cars["Horsepower"],
        cars["Weight_in_lbs"],
        cars["Miles_per_Gallon"],
    ]
    return [[float(v) for v in column.dropna() if float(v) > 0] for column in columns]


def draw_charts(rng: random.Random, count: int) -> tuple[list[Picture], list[Bars]]:
    """Return ``count`` different charts; equally many have four, five, six and seven bars."""
    columns = read_columns()
    pictures: list[Picture] = []
    charts: list[Bars] = []
    seen: set[bytes] = set()
    while len(charts) < count:
        bars = _draw_bars(rng, rng.choice(columns), COUNTS[len(charts) % len(COUNTS)])
        picture = Picture(_paint(bars), bars.facts())
        if picture.png not in seen:
            seen.add(picture.png)
            pictures.append(picture)
            charts.append(bars)
    return pictures, charts


def _draw_bars(rng: random.Random, column: Sequence[float], count: int) -> Bars:
    for _ in range(_MAX_DRAWS):
        values = tuple(rng.sample(column, count))
        ranked = sorted(values)
        margin = _CLEAR_MARGIN * ranked[-1]
        if ranked[-1] - ranked[-2] >= margin:
            return Bars(values, tuple(rng.sample(list(PALETTE), count)))
    raise ValueError(f"no {count} values of a table differ enough for a clear chart")


def _paint(bars: Bars) -> bytes:
    image = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), "white")
    draw = ImageDraw.Draw(image)
    slot = IMAGE_SIZE / len(bars.values)
    scale = _TALLEST_PX / max(bars.values)
    for place, (value, colour) in enumerate(zip(bars.values, bars.colours, strict=True)):
        left, right = round(place * slot) + 1, round((place + 1) * slot) - 2
        height = max(1, round(value * scale))
        draw.rectangle((left, IMAGE_SIZE - height, right, IMAGE_SIZE - 1), fill=PALETTE[colour])
    return png_bytes(image)


def chart_examples(charts: Sequence[Bars], rng: random.Random, each: bool) -> list[Example]:
    """Return questions about charts; every second one is about the number of bars.

    The others ask for a colour, and their options are colours of the same chart, so that a glance
    at which colours occur is not enough. With ``each``, every question that a chart allows is
    returned; otherwise one per chart, in turn.
    """
    examples = []
    for index, bars in enumerate(charts):
        counts = [str(count) for count in COUNTS if count != len(bars.values)]
        others = [colour for colour in bars.colours if colour != bars.tallest()]
        asked = [
            (COUNT_QUESTION, str(len(bars.values)), counts),
            (TALLEST_QUESTION, bars.tallest(), others),
        ]
        if not each:
            asked = [asked[index // len(COUNTS) % 2]]
        for question, answer, pool in asked:
            examples.append(Example("charts", index, question, answer, draw_sets(rng, pool, 3)))
    return examples
