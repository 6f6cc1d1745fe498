"""VMCBench's multiple choice, paired back with the open questions that it was made from.

VMCBench numbers its rows anew, so a row is found again by its question, its key and its picture. Of
the picture the decoded pixels are compared, since files are encoded anew on the way: first a digest
of all of them, then, where sizes or compression differ, how far small copies are apart.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ctv_engine.construction.source import Fault, Origin, Source, SourceError, SourceItem

COPY_SIDE = 32
MOST_APART = 2.5
"""Root mean square of the differences in lightness, 0 to 255.

Drawn charts and pages as JPEG of quality 50, or 75 at half their size, were at most 1.7 from their
originals; line charts of one style, 25 of them, at least 3.8 from each other. A digest alone finds
no picture that was saved as JPEG; colours are left out because JPEG blurs them.
"""
_UNIT = re.compile(r"\(unit: [^()]*\)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Look:
    digest: bytes
    copy: bytes


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
                asked[_words(item.question)].append(item)
        found: dict[str, list[SourceItem]] = defaultdict(list)
        wanted: dict[str, list[SourceItem]] = defaultdict(list)
        for source in self._opened.values():
            for item in source.items():
                if isinstance(item, SourceItem) and _words(item.question) in asked:
                    found[_words(item.question)].append(item)
                    wanted[item.dataset].append(item)
        looks = {
            (item.dataset, item.key): _look(picture)
            for dataset, items in wanted.items()
            for item, picture in self._opened[dataset].pictures(items)
            if isinstance(picture, bytes)
        }
        rows = [item for items in asked.values() for item in items]
        taken: dict[tuple[str, str], Origin] = {}
        for row, picture in self._choices.pictures(rows):
            if isinstance(picture, Fault):
                yield picture
                continue
            candidates = [
                item
                for item in found.get(_words(row.question), [])
                if _accepts(item, row) and (item.dataset, item.key) in looks
            ]
            same = _same_picture(_look(picture), candidates, looks)
            if len(same) != 1:
                yield Fault(row.origin, _why_alone(row, found, candidates, same))
                continue
            name = same[0].dataset, same[0].key
            before = taken.setdefault(name, row.origin)
            if before is row.origin:
                yield _paired(row, same[0])
            else:
                yield Fault(row.origin, f"{'/'.join(name)} has the options of row {before.row}")

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


def _gold(row: SourceItem) -> str:
    assert row.gold_index is not None
    return row.options[row.gold_index]


def _accepts(opened: SourceItem, row: SourceItem) -> bool:
    # Long MM-Vet golds were reworded for VMCBench: there the question and the picture decide.
    if opened.meta.capabilities:
        return True
    return _folded(_gold(row)) in {_folded(answer) for answer in opened.answers}


def _same_picture(
    look: _Look, candidates: Sequence[SourceItem], looks: dict[tuple[str, str], _Look]
) -> list[SourceItem]:
    """Return the candidates whose picture is the same: to the pixel, else as a small copy."""
    known = [looks[one.dataset, one.key] for one in candidates]
    exact = [one for one, its in zip(candidates, known, strict=True) if its.digest == look.digest]
    if exact or not candidates:
        return exact
    apart = _apart(look, known)
    return [one for one, far in zip(candidates, apart, strict=True) if far <= MOST_APART]


def _apart(one: _Look, others: Sequence[_Look]) -> list[float]:
    try:
        import numpy
    except ImportError as error:
        raise SourceError("comparing pictures takes pip install 'ctv-tui[suite]'") from error
    copies = numpy.frombuffer(b"".join(other.copy for other in others), numpy.uint8)
    own = numpy.frombuffer(one.copy, numpy.uint8).astype(numpy.float32)
    apart = numpy.square(copies.reshape(len(others), -1) - own).mean(axis=1)
    return [float(square) ** 0.5 for square in apart]


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
    if found.get(_words(row.question)):
        return f"no open question with its words accepts {_gold(row)!r}"
    return "no open question has its words"


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def _words(question: str) -> str:
    """Return a question's words without the unit that MathVista's get here."""
    return _folded(_UNIT.sub("", question))


def _look(picture: bytes) -> _Look:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
        digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
        light = image.convert("L").resize((COPY_SIDE, COPY_SIDE), Image.Resampling.HAMMING)
        copy = light.tobytes()
    return _Look(digest, copy)
