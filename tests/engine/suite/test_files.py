"""A suite directory: what is written is read back, and every fault is named with its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from ctv_engine.suite import Dataset, DraftItem, SuiteError, read_suite, write_suite
from ctv_engine.suite.files import MAX_PROBLEMS

DATASETS = [Dataset("colour", "exact_match", 4, "One word."), Dataset("caption", "anls", 12)]
RED = tiny.square_png(tiny.COLOURS["red"], 1)
BLUE = tiny.square_png(tiny.COLOURS["blue"], 2)


def drafts() -> list[DraftItem]:
    return [
        DraftItem("colour", "1", "Which colour?", RED, ("red",), ("red", "green", "blue"), 0),
        DraftItem("colour", "2", "Which colour?", BLUE, ("blue", "navy"), ("red", "blue"), 1),
        DraftItem("caption", "1", "What is there?", RED, ("a red square",), ("a", "b"), 1),
    ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A whole suite that a test may spoil."""
    write_suite(tmp_path / "suite", name="s", kind="paired", datasets=DATASETS, items=drafts())
    return tmp_path / "suite"


def rows_of(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "items.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def write_rows(directory: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (directory / "items.jsonl").write_text(text, "utf-8")


def edit_row(number: int, **changes: Any) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        rows = rows_of(directory)
        rows[number].update(changes)
        write_rows(directory, rows)

    return spoil


def edit_head(old: str, new: str) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        path = directory / "suite.toml"
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")

    return spoil


def edit_image(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        image = directory / rows_of(directory)[0]["image"]
        image.write_bytes(change(image.read_bytes()))

    return spoil


def remove_image(directory: Path) -> None:
    (directory / rows_of(directory)[0]["image"]).unlink()


def append_line(line: bytes) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        with (directory / "items.jsonl").open("ab") as out:
            out.write(line + b"\n")

    return spoil


def remove_option(directory: Path) -> None:
    rows = rows_of(directory)
    del rows[0]["options"]
    write_rows(directory, rows)


def repeat_first_row(directory: Path) -> None:
    rows = rows_of(directory)
    write_rows(directory, [*rows, rows[0]])


# --- what is whole ------------------------------------------------------------------------------


def test_what_is_written_is_read_back(directory: Path) -> None:
    suite = read_suite(directory)
    assert (suite.name, suite.kind, suite.datasets) == ("s", "paired", tuple(DATASETS))
    assert len(suite.items) == 3
    for item, draft in zip(suite.items, drafts(), strict=True):
        assert (item.dataset, item.key) == (draft.dataset, draft.key)
        assert (item.question, item.answers) == (draft.question, draft.answers)
        assert sorted(item.options) == sorted(draft.options)
        assert item.gold_index is not None and draft.gold_index is not None
        assert item.options[item.gold_index] == draft.options[draft.gold_index]
        assert suite.image_path(item).read_bytes() == draft.image
        assert item.image_digest == hashlib.sha256(draft.image).hexdigest()
    assert suite.dataset("caption") == DATASETS[1]
    with pytest.raises(KeyError):
        suite.dataset("nobody")


def test_equal_pictures_are_stored_once(directory: Path) -> None:
    assert sorted(path.name for path in (directory / "images").iterdir()) == sorted(
        f"{hashlib.sha256(image).hexdigest()}.png" for image in (RED, BLUE)
    )


def test_a_suite_is_never_written_over(directory: Path) -> None:
    with pytest.raises(FileExistsError, match="already holds a suite"):
        write_suite(directory, name="s", kind="paired", datasets=DATASETS, items=drafts())


@pytest.mark.parametrize("text", ['"quoted" \\ back', "Fünf — 五", "🟥 which?", "two\nlines"])
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    item = DraftItem("d", text, text, RED, (text,), (text, "other"), 0)
    suite = write_suite(
        tmp_path / "suite",
        name=text,
        kind="paired",
        datasets=[Dataset("d", "anls", 3, text)],
        items=[item],
    )
    read = suite.items[0]
    assert (suite.name, suite.datasets[0].open_instruction) == (text, text)
    assert (read.key, read.question, read.answers) == (text, text, (text,))
    assert text in read.options


def test_option_order_file_asks_in_the_order_of_the_file(directory: Path) -> None:
    edit_head('kind = "paired"', 'kind = "paired"\noption_order = "file"')(directory)
    assert [item.options for item in read_suite(directory).items] == [d.options for d in drafts()]


def test_a_gold_suite_needs_no_options(tmp_path: Path) -> None:
    item = DraftItem("d", "1", "What?", RED, ("red",))
    suite = write_suite(
        tmp_path / "gold", name="g", kind="gold", datasets=[Dataset("d", "anls", 3)], items=[item]
    )
    assert (suite.kind, suite.items[0].options, suite.items[0].gold_index) == ("gold", (), None)


def test_empty_lines_are_not_items(directory: Path) -> None:
    append_line(b"  ")(directory)
    assert len(read_suite(directory).items) == 3


def test_a_key_may_be_a_number(directory: Path) -> None:
    edit_row(0, key=7)(directory)
    assert read_suite(directory).items[0].key == "7"


def test_a_key_may_be_the_number_zero(directory: Path) -> None:
    edit_row(0, key=0)(directory)
    assert read_suite(directory).items[0].key == "0"


# --- the digest ---------------------------------------------------------------------------------


def replace_picture_under_the_same_name(directory: Path) -> None:
    (directory / "images" / "plain.png").write_bytes(BLUE)


CONTENT_CHANGES: list[tuple[str, Callable[[Path], None]]] = [
    ("question", edit_row(0, question="Which color?")),
    ("option", edit_row(0, options=["red", "green", "black"])),
    ("key", edit_row(0, gold_index=1)),
    ("answer", edit_row(0, answers=["crimson"])),
    ("name of an item", edit_row(0, key="1b")),
    ("picture", replace_picture_under_the_same_name),
    ("metric", edit_head('"anls"', '"exact_match"')),
    ("length cap", edit_head("max_new_tokens = 4", "max_new_tokens = 5")),
    ("instruction", edit_head("One word.", "One word")),
    ("kind", edit_head('"paired"', '"gold"')),
    ("meta of an item", edit_row(0, meta={"precision": 1})),
    ("meta of a dataset", edit_head('"One word."', '"One word."\nmeta = { precision = 1 }')),
    ("order", edit_head("format = 1", 'format = 1\noption_order = "file"')),
]


@pytest.mark.parametrize(
    "change", [c for _, c in CONTENT_CHANGES], ids=[n for n, _ in CONTENT_CHANGES]
)
def test_the_digest_changes_with_any_content(
    directory: Path, change: Callable[[Path], None]
) -> None:
    (directory / "images" / "plain.png").write_bytes(RED)
    edit_row(2, image="images/plain.png")(directory)
    before = read_suite(directory).digest
    change(directory)
    assert read_suite(directory).digest != before


def test_the_digest_of_a_suite_that_says_all_is_that_of_its_files(directory: Path) -> None:
    content = (directory / "suite.toml").read_bytes() + (directory / "items.jsonl").read_bytes()
    for path in sorted((directory / "images").iterdir()):
        picture = hashlib.sha256(path.read_bytes()).hexdigest()
        content += f"images/{path.name} {picture}\n".encode()
    assert read_suite(directory).digest == hashlib.sha256(content).hexdigest()


def test_the_digest_does_not_depend_on_the_place(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "elsewhere")
    assert read_suite(tmp_path / "elsewhere").digest == read_suite(directory).digest


# --- faults -------------------------------------------------------------------------------------

FAULTS: list[tuple[str, Callable[[Path], None], tuple[str, ...]]] = [
    ("no directory", shutil.rmtree, ("no such directory",)),
    ("no suite.toml", lambda d: (d / "suite.toml").unlink(), ("no suite.toml", "not a suite")),
    ("no items.jsonl", lambda d: (d / "items.jsonl").unlink(), ("no items.jsonl",)),
    ("bad TOML", edit_head("format = 1", "format = ["), ("suite.toml can't be parsed",)),
    (
        "not text",
        lambda d: (d / "suite.toml").write_bytes(b"\xff\xfe"),
        ("suite.toml can't be parsed",),
    ),
    ("other format", edit_head("format = 1", "format = 2"), ("format is 2, expected 1",)),
    ("no format", edit_head("format = 1\n", ""), ("format is None, expected 1",)),
    ("kind", edit_head('"paired"', '"pairs"'), ("kind is 'pairs'", "'paired' or 'gold'")),
    (
        "order",
        edit_head("format = 1", 'format = 1\noption_order = "random"'),
        ("option_order is 'random'", "'seeded' or 'file'"),
    ),
    (
        "metric",
        edit_head('"anls"', '"bleu"'),
        ("caption", "unknown open_metric 'bleu'", "use exact_match, anls"),
    ),
    (
        "length cap",
        edit_head("max_new_tokens = 4", "max_new_tokens = 0"),
        ("colour", "max_new_tokens", ">= 1"),
    ),
    (
        "reserved name",
        edit_head('name = "colour"', 'name = "macro"'),
        ("dataset name 'macro' is reserved",),
    ),
    (
        "name used twice",
        edit_head('name = "caption"', 'name = "colour"'),
        ("dataset name 'colour'", "used twice"),
    ),
    ("dataset without name", edit_head('name = "colour"\n', ""), ("a dataset has no name",)),
    (
        "no datasets",
        lambda d: (d / "suite.toml").write_text("format = 1\n"),
        ("no [[datasets]] table",),
    ),
    (
        "datasets are a number",
        lambda d: (d / "suite.toml").write_text("format = 1\ndatasets = 5\n"),
        ("no [[datasets]] table",),
    ),
    (
        "datasets are not tables",
        lambda d: (d / "suite.toml").write_text('format = 1\ndatasets = ["colour"]\n'),
        ("[[datasets]]",),
    ),
    (
        "dataset without items",
        edit_row(2, dataset="colour", key="3"),
        ("dataset 'caption' has no items", "remove it from suite.toml"),
    ),
    ("no items", lambda d: (d / "items.jsonl").write_text(""), ("items.jsonl holds no items",)),
    ("bad JSON", append_line(b'{"dataset": '), ("items.jsonl line 4", "not JSON")),
    ("bad UTF-8", append_line(b'{"dataset": "\xff"}'), ("items.jsonl line 4", "not JSON")),
    ("not an object", append_line(b"[1]"), ("items.jsonl line 4", "not a JSON object")),
    (
        "missing fields",
        append_line(b'{"dataset": "colour", "key": "9"}'),
        ("items.jsonl line 4", "missing or empty: question, image, answers"),
    ),
    (
        "unknown dataset",
        edit_row(0, dataset="shape"),
        ("line 1", "dataset 'shape' is not in suite.toml"),
    ),
    ("dataset is a list", edit_row(0, dataset=["colour"]), ("line 1", "dataset")),
    (
        "duplicate key",
        repeat_first_row,
        ("items.jsonl line 4", "key '1' of colour", "used in line 1"),
    ),
    ("missing options", remove_option, ("line 1", "0 options", "needs 2 to 26")),
    ("one option", edit_row(0, options=["red"], gold_index=0), ("line 1", "1 options")),
    (
        "27 options",
        edit_row(0, options=[str(n) for n in range(27)]),
        ("line 1", "27 options", "2 to 26"),
    ),
    ("empty option", edit_row(0, options=["red", " "]), ("line 1", "non-empty strings")),
    ("options are text", edit_row(0, options="red"), ("line 1", "options must be a list")),
    ("equal options", edit_row(0, options=["red", "red"]), ("line 1", "two options are equal")),
    (
        "gold_index beyond",
        edit_row(0, gold_index=3),
        ("line 1", "gold_index 3 is not the index of one of 3 options"),
    ),
    ("gold_index negative", edit_row(0, gold_index=-1), ("line 1", "gold_index -1")),
    ("gold_index missing", edit_row(0, gold_index=None), ("line 1", "gold_index None")),
    ("gold_index is text", edit_row(0, gold_index="0"), ("line 1", "gold_index '0'")),
    ("answers are text", edit_row(0, answers="red"), ("line 1", "answers must be a list")),
    ("empty answer", edit_row(0, answers=[" "]), ("line 1", "non-empty strings")),
    ("image missing", remove_image, ("line 1", "images/", "No such file")),
    (
        "image altered",
        edit_image(lambda content: content[:-1] + b"!"),
        ("line 1", "was altered", "does not match its name"),
    ),
    (
        "image truncated",
        edit_image(lambda content: content[: len(content) // 2]),
        ("line 1", "was altered"),
    ),
    ("image empty", edit_image(lambda _: b""), ("line 1", "not a picture", "0 bytes")),
    (
        "not a picture",
        edit_image(lambda _: b"<html>not found</html>"),
        ("line 1", "not a picture", "22 bytes"),
    ),
    ("image outside", edit_row(0, image="../red.png"), ("line 1", "outside the suite directory")),
    ("image absolute", edit_row(0, image="/etc/red.png"), ("line 1", "outside the suite")),
    ("image is a directory", edit_row(0, image="images"), ("line 1", "images", "directory")),
    ("image with a NUL", edit_row(0, image="images/\0.png"), ("line 1", "image")),
]


@pytest.mark.parametrize(
    ("spoil", "words"), [(s, w) for _, s, w in FAULTS], ids=[name for name, *_ in FAULTS]
)
def test_a_fault_is_named_with_its_place(
    directory: Path, spoil: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    spoil(directory)
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    assert str(caught.value).startswith(f"suite {directory}: {caught.value.problems[0]}")
    for word in words:
        assert word in caught.value.problems[0]


def test_every_item_with_a_broken_image_is_named(directory: Path) -> None:
    remove_image(directory)  # RED, of lines 1 and 3
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    first, second = caught.value.problems
    assert "line 1" in first and "line 3" in second


def test_all_faults_are_reported_at_once(directory: Path) -> None:
    edit_head('"anls"', '"bleu"')(directory)
    edit_row(0, gold_index=9)(directory)
    edit_row(1, answers=[])(directory)
    append_line(b"nonsense")(directory)
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    message = str(caught.value)
    for words in ("unknown open_metric 'bleu'", "gold_index 9", "answers", "not JSON"):
        assert words in message
    assert len(message.splitlines()) == len(caught.value.problems)


def test_all_datasets_without_items_are_named(directory: Path) -> None:
    more = "".join(f'\n[[datasets]]\nname = "{name}"\n' for name in ("empty-1", "empty-2"))
    with (directory / "suite.toml").open("a") as out:
        out.write(more)
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    assert "'empty-1' has no items" in str(caught.value)
    assert "'empty-2' has no items" in str(caught.value)


def test_the_list_of_faults_is_capped(directory: Path) -> None:
    for _ in range(MAX_PROBLEMS + 5):
        append_line(b"nonsense")(directory)
    with pytest.raises(SuiteError) as caught:
        read_suite(directory)
    lines = str(caught.value).splitlines()
    assert len(caught.value.problems) == MAX_PROBLEMS + 5
    assert len(lines) == MAX_PROBLEMS + 1
    assert "and 5 more problems" in lines[-1]
