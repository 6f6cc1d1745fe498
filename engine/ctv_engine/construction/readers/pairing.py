"""VMCBench's multiple choice, paired back with the open questions that it was made from.

VMCBench numbers its rows anew, so a row is found again by its question, its key and its picture. Of
the picture the decoded pixels are compared, since files are encoded anew on the way: first all of
them, then, where sizes or compression differ, a coarse print of light and dark.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ctv_engine.construction.source import Fault, Source, SourceItem

PRINT_SIDE = 16
MOST_APART = 20
"""Bits of the 256 of a print that may differ; prints of unrelated pictures differ in about 128."""


@dataclass(frozen=True, slots=True)
class _Look:
    digest: str
    light: int


class PairedSource:
    """Items with the options of a multiple-choice source and all else of the open ones."""

    def __init__(self, choices: Source, opened: Sequence[Source]) -> None:
        """Pair ``choices`` with the items of ``opened``; only questions are held in memory."""
        self._choices = choices
        self._opened = {source.dataset: source for source in opened}

    @property
    def dataset(self) -> str:
        """The name of the multiple-choice source; items keep the open ones' datasets."""
        return self._choices.dataset

    def items(self) -> Iterator[SourceItem | Fault]:
        """Yield paired items by the open sources' order, and a fault for each row that stays alone.

        Raises:
            SourceError: a file can't be read on.
        """
        asked: dict[str, list[SourceItem]] = defaultdict(list)
        for item in self._choices.items():
            if isinstance(item, Fault):
                yield item
            else:
                asked[_folded(item.question)].append(item)
        found: dict[str, list[SourceItem]] = defaultdict(list)
        wanted: dict[str, list[SourceItem]] = defaultdict(list)
        for source in self._opened.values():
            for item in source.items():
                if isinstance(item, SourceItem) and _folded(item.question) in asked:
                    found[_folded(item.question)].append(item)
                    wanted[item.dataset].append(item)
        looks = {
            (item.dataset, item.key): _look(picture)
            for dataset, items in wanted.items()
            for item, picture in self._opened[dataset].pictures(items)
            if isinstance(picture, bytes)
        }
        rows = [item for items in asked.values() for item in items]
        for row, picture in self._choices.pictures(rows):
            if isinstance(picture, Fault):
                yield picture
                continue
            candidates = [
                item
                for item in found.get(_folded(row.question), [])
                if {_folded(row.answers[0])} & {_folded(answer) for answer in item.answers}
                and (item.dataset, item.key) in looks
            ]
            same = _same_picture(_look(picture), candidates, looks)
            if len(same) == 1:
                yield _paired(row, same[0])
            else:
                yield Fault(row.origin, _why_alone(row, found, candidates, same))

    def pictures(self, items: Iterable[SourceItem]) -> Iterator[tuple[SourceItem, bytes | Fault]]:
        """Yield the open source's picture of each item."""
        by_dataset: dict[str, list[SourceItem]] = defaultdict(list)
        for item in items:
            by_dataset[item.dataset].append(item)
        for dataset, own in by_dataset.items():
            yield from self._opened[dataset].pictures(own)


def _paired(row: SourceItem, opened: SourceItem) -> SourceItem:
    assert row.gold_index is not None
    return replace(opened, options=row.options, gold_index=row.gold_index)


def _same_picture(
    look: _Look, candidates: Sequence[SourceItem], looks: dict[tuple[str, str], _Look]
) -> list[SourceItem]:
    """Return the candidates whose picture is the same: to the pixel, else the nearest by print."""
    exact = [c for c in candidates if looks[c.dataset, c.key].digest == look.digest]
    if exact:
        return exact
    apart = [(look.light ^ looks[c.dataset, c.key].light).bit_count() for c in candidates]
    least = min(apart, default=MOST_APART + 1)
    if least > MOST_APART:
        return []
    return [c for c, bits in zip(candidates, apart, strict=True) if bits == least]


def _why_alone(
    row: SourceItem,
    found: dict[str, list[SourceItem]],
    candidates: Sequence[SourceItem],
    same: Sequence[SourceItem],
) -> str:
    if len(same) > 1:
        names = ", ".join(f"{item.dataset}/{item.key}" for item in same)
        return f"stands for several open questions: {names}"
    if candidates:
        return "the open questions with its words and key have other pictures"
    if found.get(_folded(row.question)):
        return f"no open question with its words accepts {row.answers[0]!r}"
    return "no open question has its words"


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _look(picture: bytes) -> _Look:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
        digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
        small = image.convert("L").resize((PRINT_SIDE + 1, PRINT_SIDE), Image.Resampling.BILINEAR)
        cells = small.tobytes()
    width = PRINT_SIDE + 1
    light = 0
    for row in range(PRINT_SIDE):
        for column in range(PRINT_SIDE):
            at = row * width + column
            light = light << 1 | (cells[at] < cells[at + 1])
    return _Look(digest, light)
