"""Suite files: a directory with ``suite.toml``, ``items.jsonl`` and content-addressed images.

``suite.toml``::

    format = 1
    name = "my-suite"
    kind = "paired"            # or "gold": then items need no options
    option_order = "seeded"    # or "file": options are asked in the order of items.jsonl

    [[datasets]]
    name = "ChartQA"
    open_metric = "exact_match"
    max_new_tokens = 16
    open_instruction = "Answer with a single word or number."

``max_new_tokens`` and ``open_instruction`` may be left out: then the metric's own defaults hold
(:func:`~ctv_engine.suite.metrics.metric_defaults`), and the digest covers them.

``items.jsonl``, one object per line::

    {"dataset": "ChartQA", "key": "17", "question": "…", "image": "images/<sha256>.png",
     "options": ["12", "14", "21", "41"], "gold_index": 1, "answers": ["14"]}

Items and datasets may have a ``meta`` object for metrics that need more than accepted answers
(:class:`~ctv_engine.suite.metrics.Meta`); an item's goes before its dataset's::

    "meta": {"answer_type": "float", "precision": 2}
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ctv_engine.suite.items import Dataset, Item, Suite, SuiteKind
from ctv_engine.suite.metrics import (
    NO_META,
    OPEN_METRICS,
    Meta,
    check_meta,
    metric_defaults,
    read_meta,
)
from ctv_engine.suite.questions import LETTERS

FORMAT = 1
SUITE_FILE = "suite.toml"
ITEMS_FILE = "items.jsonl"
MAX_PROBLEMS = 20

_NEW = ".new"
"""Behind the names of files that are not in place yet."""

_IMAGE_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"RIFF", ".webp"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
)


class SuiteError(Exception):
    """A suite that can't be used. ``problems`` names each fault, its place and the way out."""

    def __init__(self, directory: Path, problems: Sequence[str]) -> None:
        self.directory = directory
        self.problems = tuple(problems)
        shown = self.problems[:MAX_PROBLEMS]
        more = len(self.problems) - len(shown)
        lines = [f"suite {directory}: {problem}" for problem in shown]
        if more:
            lines.append(f"suite {directory}: … and {more} more problems")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class DraftItem:
    """An item on its way into a suite directory.

    ``image`` holds the encoded picture, or its path below the directory if it lies there already.
    """

    dataset: str
    key: str
    question: str
    image: bytes | str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    gold_index: int | None = None
    meta: Meta = NO_META


def write_suite(
    directory: Path,
    *,
    name: str,
    kind: SuiteKind,
    datasets: Sequence[Dataset],
    items: Iterable[DraftItem],
    replace_old: bool = False,
) -> Suite:
    """Write a suite directory and return it as :func:`read_suite` reads it.

    Images are stored once per content, under their SHA-256. Both files are written beside their
    names and put in place when they are whole and checked, ``suite.toml`` last: a directory without
    it is not a suite, and an earlier suite stays as it was if this one has a fault.

    Raises:
        SuiteError: what was written does not pass the checks of :func:`read_suite`.
        FileExistsError: ``directory`` already holds a suite, and ``replace_old`` is not set.
    """
    directory = Path(directory)
    if (directory / SUITE_FILE).exists() and not replace_old:
        raise FileExistsError(f"{directory} already holds a suite")
    (directory / "images").mkdir(parents=True, exist_ok=True)
    new_items, new_head = directory / f"{ITEMS_FILE}{_NEW}", directory / f"{SUITE_FILE}{_NEW}"
    with new_items.open("w", encoding="utf-8") as out:
        for item in items:
            image = item.image
            if not isinstance(image, str):
                image = store_image(directory, image)
            row: dict[str, Any] = {
                "dataset": item.dataset,
                "key": item.key,
                "question": item.question,
                "image": image,
                "options": list(item.options),
                "gold_index": item.gold_index,
                "answers": list(item.answers),
            }
            if item.meta != NO_META:
                row["meta"] = item.meta.stated()
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    head = [f"format = {FORMAT}", f"name = {_toml(name)}", f"kind = {_toml(kind)}"]
    for dataset in datasets:
        head += [
            "",
            "[[datasets]]",
            f"name = {_toml(dataset.name)}",
            f"open_metric = {_toml(dataset.open_metric)}",
            f"max_new_tokens = {dataset.max_new_tokens}",
            f"open_instruction = {_toml(dataset.open_instruction)}",
        ]
        if dataset.meta != NO_META:
            stated = dataset.meta.stated().items()
            head.append(f"meta = {{ {', '.join(f'{k} = {_toml(v)}' for k, v in stated)} }}")
    new_head.write_text("\n".join(head) + "\n", encoding="utf-8")
    try:
        suite = _read_suite(directory, _NEW)
    except SuiteError:
        new_items.unlink()
        new_head.unlink()
        raise
    new_items.replace(directory / ITEMS_FILE)
    new_head.replace(directory / SUITE_FILE)
    return suite


def store_image(directory: Path, image: bytes) -> str:
    """Put a picture below ``directory`` under its content's name; return its path there."""
    digest = hashlib.sha256(image).hexdigest()
    name = f"images/{digest}{_image_suffix(image) or '.bin'}"
    target = directory / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f"{target.name}.new")
        new.write_bytes(image)
        new.replace(target)
    return name


def read_suite(directory: Path) -> Suite:
    """Read and check a suite directory.

    Every image is read once and compared with the digest in its name, so a suite that loads is a
    suite whose pictures are whole.

    Raises:
        SuiteError: with one line per fault (missing file, bad TOML or JSON, unknown metric,
            duplicate key, missing option, image that is absent, altered or not a picture).
    """
    return _read_suite(Path(directory), "")


def _read_suite(directory: Path, suffix: str) -> Suite:
    """Read the suite whose two files have ``suffix`` behind their names."""
    head = _read_head(directory, suffix)
    problems: list[str] = []
    datasets = _read_datasets(head, problems)
    kind = head.get("kind", "paired")
    if kind not in ("paired", "gold"):
        problems.append(f"{SUITE_FILE}: kind is {kind!r}; use 'paired' or 'gold'")
        kind = "paired"
    order = head.get("option_order", "seeded")
    if order not in ("seeded", "file"):
        problems.append(f"{SUITE_FILE}: option_order is {order!r}; use 'seeded' or 'file'")

    digest = hashlib.sha256((directory / f"{SUITE_FILE}{suffix}").read_bytes())
    for filled in _filled_in(head, datasets):
        digest.update(filled)
    items: list[Item] = []
    by_name = {dataset.name: dataset for dataset in datasets}
    seen: dict[tuple[str, str], int] = {}
    image_digests: dict[str, str | None] = {}
    items_file = directory / f"{ITEMS_FILE}{suffix}"
    if not items_file.is_file():
        raise SuiteError(directory, [f"no {ITEMS_FILE}; each line of it is one item"])
    with items_file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            digest.update(line)
            if not line.strip():
                continue
            faults: list[str] = []
            item = _read_item(line, kind, by_name, faults)
            if item is not None:
                place = seen.setdefault((item.dataset, item.key), number)
                if place != number:
                    faults.append(f"key {item.key!r} of {item.dataset} was used in line {place}")
                if item.image not in image_digests:
                    image_digests[item.image] = _check_image(directory, item.image, faults)
                image_digest = image_digests[item.image]
                if image_digest is not None:
                    item = replace(item, image_digest=image_digest)
                    items.append(item.placed() if order == "seeded" else item)
                elif not faults:
                    faults.append(f"image {item.image}: see above")
            problems += [f"{ITEMS_FILE} line {number}: {fault}" for fault in faults]
    if not items and not problems:
        problems.append(f"{ITEMS_FILE} holds no items")
    if not problems:
        for name in sorted(by_name.keys() - {item.dataset for item in items}):
            problems.append(f"dataset {name!r} has no items; remove it from {SUITE_FILE}")
    if problems:
        raise SuiteError(directory, problems)
    for image in sorted(image_digests):
        digest.update(f"{image} {image_digests[image]}\n".encode())
    return Suite(
        name=str(head.get("name", directory.name)),
        kind=kind,
        directory=directory.resolve(),
        datasets=tuple(datasets),
        items=tuple(items),
        digest=digest.hexdigest(),
    )


def _toml(value: str | int | list[str]) -> str:
    """Return a TOML value; TOML knows no surrogate pairs and no raw delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_head(directory: Path, suffix: str) -> dict[str, Any]:
    if not directory.is_dir():
        raise SuiteError(directory, ["no such directory"])
    path = directory / f"{SUITE_FILE}{suffix}"
    if not path.is_file():
        raise SuiteError(directory, [f"no {SUITE_FILE}: this is not a suite directory"])
    try:
        head = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(directory, [f"{SUITE_FILE} can't be parsed: {error}"]) from error
    if head.get("format") != FORMAT:
        found = head.get("format")
        raise SuiteError(directory, [f"{SUITE_FILE}: format is {found!r}, expected {FORMAT}"])
    return head


def _read_datasets(head: dict[str, Any], problems: list[str]) -> list[Dataset]:
    tables = head.get("datasets")
    if not isinstance(tables, list) or not tables:
        problems.append(f"{SUITE_FILE}: no [[datasets]] table")
        return []
    datasets: list[Dataset] = []
    for table in tables:
        if not isinstance(table, dict):
            problems.append(f"{SUITE_FILE}: datasets must be [[datasets]] tables, not {table!r}")
            continue
        name = table.get("name")
        metric = table.get("open_metric", "exact_match")
        if not isinstance(name, str) or not name:
            problems.append(f"{SUITE_FILE}: a dataset has no name")
            continue
        if name == "macro" or name in {dataset.name for dataset in datasets}:
            problems.append(f"{SUITE_FILE}: dataset name {name!r} is reserved or used twice")
            continue
        if metric not in OPEN_METRICS:
            known = ", ".join(OPEN_METRICS)
            problems.append(f"{SUITE_FILE}: {name}: unknown open_metric {metric!r}; use {known}")
            continue
        defaults = metric_defaults(metric)
        cap = table.get("max_new_tokens", defaults.max_new_tokens)
        if not isinstance(cap, int) or cap < 1:
            problems.append(f"{SUITE_FILE}: {name}: max_new_tokens must be a whole number >= 1")
            continue
        instruction = str(table.get("open_instruction", defaults.open_instruction))
        faults: list[str] = []
        meta = read_meta(table.get("meta"), faults)
        if meta.annotators:
            faults.append("meta.annotators belongs to the items, not to the dataset")
        problems += [f"{SUITE_FILE}: {name}: {fault}" for fault in faults]
        datasets.append(Dataset(name, metric, cap, instruction, meta))
    return datasets


def _filled_in(head: dict[str, Any], datasets: Sequence[Dataset]) -> Iterator[bytes]:
    """Yield the defaults that ``suite.toml`` leaves out: they are asked, so the digest has them."""
    if not datasets:
        return
    tables = {table.get("name"): table for table in head["datasets"] if isinstance(table, dict)}
    for dataset in datasets:
        for name in ("max_new_tokens", "open_instruction"):
            if name not in tables[dataset.name]:
                yield f"{dataset.name} {name} {getattr(dataset, name)}\n".encode()


def _read_item(
    line: bytes, kind: str, datasets: Mapping[str, Dataset], faults: list[str]
) -> Item | None:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        faults.append(f"not JSON: {error}")
        return None
    if not isinstance(row, dict):
        faults.append("not a JSON object")
        return None
    needed = ("dataset", "key", "question", "image", "answers")
    missing = [name for name in needed if row.get(name) in (None, "", [])]
    if missing:
        faults.append(f"missing or empty: {', '.join(missing)}")
        return None
    if not isinstance(row["dataset"], str) or row["dataset"] not in datasets:
        faults.append(f"dataset {row['dataset']!r} is not in {SUITE_FILE}")
    answers = row["answers"]
    if not isinstance(answers, list) or not all(isinstance(a, str) and a.strip() for a in answers):
        faults.append("answers must be a list of non-empty strings")
        return None
    options = row.get("options") or []
    gold = row.get("gold_index")
    if options or gold is not None or kind == "paired":
        if not isinstance(options, list) or not all(
            isinstance(o, str) and o.strip() for o in options
        ):
            faults.append("options must be a list of non-empty strings")
            return None
        if not 2 <= len(options) <= len(LETTERS):
            faults.append(f"{len(options)} options; a closed form needs 2 to {len(LETTERS)}")
        elif not isinstance(gold, int) or not 0 <= gold < len(options):
            faults.append(f"gold_index {gold!r} is not the index of one of {len(options)} options")
        elif len(set(options)) != len(options):
            faults.append("two options are equal")
    meta = read_meta(row.get("meta"), faults)
    if not faults:
        dataset = datasets[row["dataset"]]
        meta = meta.over(dataset.meta)
        faults += check_meta(dataset.open_metric, answers, meta)
    if faults:
        return None
    return Item(
        dataset=row["dataset"],
        key=str(row["key"]),
        question=str(row["question"]),
        image=str(row["image"]),
        image_digest="",
        options=tuple(options),
        gold_index=gold,
        answers=tuple(answers),
        meta=meta,
    )


def _check_image(directory: Path, image: str, faults: list[str]) -> str | None:
    pure = PurePosixPath(image)
    if pure.is_absolute() or ".." in pure.parts or "\\" in image or os.sep * 2 in image:
        faults.append(f"image {image!r} points outside the suite directory")
        return None
    try:
        content = (directory / image).read_bytes()
    except (OSError, ValueError) as error:
        faults.append(f"image {image!r}: {getattr(error, 'strerror', None) or error}")
        return None
    digest = hashlib.sha256(content).hexdigest()
    if _image_suffix(content) is None:
        faults.append(f"image {image} is not a picture ({len(content):,} bytes)")
        return None
    if len(pure.stem) == 64 and pure.stem != digest:
        faults.append(f"image {image} was altered: its content does not match its name")
        return None
    return digest


def _image_suffix(content: bytes) -> str | None:
    for magic, suffix in _IMAGE_MAGIC:
        if content.startswith(magic):
            return suffix
    return None
