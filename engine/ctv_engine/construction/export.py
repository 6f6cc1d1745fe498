"""A suite as one table for other programs: VLMEvalKit's TSV, or JSON Lines with picture paths.

Both have the same columns: ``index`` (from 1), ``suite_key``, ``category`` (the dataset),
``question``, ``A`` …, ``answer``, ``open_answers``, ``open_meta`` and ``image``. ``answer`` is
the key's letter as the suite asks it; of an item without options it is the open answer, or all of
them as a list. In TSV a picture is base64 where it first occurs and the index of that row
afterwards, lists are Python literals and ``open_meta`` is JSON.
"""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from ctv_engine.construction.readers.files import LONGEST_REFERENCE
from ctv_engine.suite import LETTERS, NO_META, Item, Suite

Form = Literal["tsv", "jsonl"]
FORMS: tuple[Form, ...] = get_args(Form)


class ExportError(Exception):
    """Why a suite can't be exported; the message names the place and the way out."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows, and how many different pictures they show."""

    path: Path
    items: int
    pictures: int


def export_suite(suite: Suite, out: Path, form: Form, *, dataset: str | None = None) -> Exported:
    """Write the items of a suite, or of one of its datasets, to ``out``.

    The file appears under its name when it is whole; an older one is replaced. Pictures are held in
    memory one at a time. JSON Lines name them relative to ``out`` where they lie below its folder,
    else by their absolute path.

    Raises:
        ExportError: no such dataset, ``out`` lies in the suite, a text or picture does not fit
            into the format.
        OSError: a file can't be read or written.
    """
    items = [item for item in suite.items if dataset in (None, item.dataset)]
    if not items:
        known = ", ".join(one.name for one in suite.datasets)
        raise ExportError(f"suite {suite.name} has no dataset {dataset!r}; it has {known}")
    place = out.resolve()
    if place.is_relative_to(suite.directory.resolve()):
        raise ExportError(f"{out} lies in the suite itself; write it elsewhere")
    if place.is_dir():
        raise ExportError(f"{out} is a folder; name a file")
    letters = LETTERS[: max(len(item.options) for item in items)]
    with _put_in_place(place) as file:
        if form == "tsv":
            pictures = _write_tsv(suite, items, letters, file)
        else:
            pictures = _write_json_lines(suite, items, letters, file, place.parent)
    return Exported(out, len(items), pictures)


def _write_tsv(suite: Suite, items: Sequence[Item], letters: str, file: TextIO) -> int:
    # csv leaves a lone carriage return bare unless it is part of the line end.
    rows = csv.writer(file, delimiter="\t", lineterminator="\r\n")
    first: dict[str, int] = {}
    for index, item in enumerate(items, start=1):
        row = _row(index, item, letters)
        if index == 1:
            rows.writerow([*row, "image"])
        shown_in = first.setdefault(item.image_digest, index)
        picture = str(shown_in) if shown_in != index else _encoded(suite, item)
        row["answer"] = _literal(row["answer"])
        row["open_answers"] = _literal(row["open_answers"])
        row["open_meta"] = "" if row["open_meta"] is None else _json(row["open_meta"])
        _named(item, rows.writerow, [*row.values(), picture])
    return len(first)


def _write_json_lines(
    suite: Suite, items: Sequence[Item], letters: str, file: TextIO, folder: Path
) -> int:
    for index, item in enumerate(items, start=1):
        path = suite.image_path(item).resolve()
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        row = {**_row(index, item, letters), "image": shown.as_posix()}
        _named(item, file.write, _json(row) + "\n")
    return len({item.image_digest for item in items})


def _row(index: int, item: Item, letters: str) -> dict[str, Any]:
    """Return what both formats say of an item; every row has the same columns."""
    options = dict(zip(letters, item.options, strict=False))
    answer: Any = item.answers[0] if len(item.answers) == 1 else list(item.answers)
    return {
        "index": index,
        "suite_key": item.key,
        "category": item.dataset,
        "question": item.question,
        **{letter: options.get(letter) for letter in letters},
        "answer": answer if item.gold_index is None else LETTERS[item.gold_index],
        "open_answers": list(item.answers),
        "open_meta": None if item.meta == NO_META else item.meta.stated(),
    }


def _encoded(suite: Suite, item: Item) -> str:
    encoded = base64.b64encode(suite.image_path(item).read_bytes()).decode("ascii")
    if len(encoded) <= LONGEST_REFERENCE:
        raise ExportError(
            f"{item.dataset}/{item.key}: its picture is so small that VLMEvalKit would take it for"
            " the index of another row; use the format jsonl"
        )
    return encoded


def _literal(cell: Any) -> str:
    return repr(cell) if isinstance(cell, list) else str(cell)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _named(item: Item, write: Callable[[Any], object], value: Any) -> None:
    try:
        write(value)
    except UnicodeEncodeError as error:
        raise ExportError(f"{item.dataset}/{item.key}: not valid Unicode ({error})") from error


@contextmanager
def _put_in_place(path: Path) -> Iterator[TextIO]:
    """Open a file beside ``path`` that takes its name once it is whole, or goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            yield file
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
