"""A suite that is written for other programs asks the same when it is read back."""

from __future__ import annotations

import base64
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import published
import pytest

from ctv_engine.construction.export import ExportError, Form, export_suite
from ctv_engine.construction.readers import open_source
from ctv_engine.construction.source import SourceItem
from ctv_engine.suite import Dataset, Meta, Suite, write_suite
from ctv_engine.suite.files import DraftItem

LETTERS_26 = tuple(f"option {n}" for n in range(26))
HOSTILE = 'A\ttab, a "quote",\na line, a lone \r return, =1+1, \x1b[31m and 答案'


def drafts() -> list[DraftItem]:
    ten = ("can", "soup can", "", *("can",) * 7)
    two, same = published.picture(2), published.picture(1)
    return [
        DraftItem("ChartQA", "7", "How many?", same, ("4", "four"), ("3", "4", "5", "6"), 1),
        DraftItem("ChartQA", "8", HOSTILE, same, ("it's", 'a "b"'), ("yes\tno", "no", "x"), 0),
        DraftItem("ChartQA", "a b/c", "Which?", two, ("[1, 2]",), LETTERS_26, 25),
        DraftItem(
            "VizWiz",
            "7",
            "What?",
            same,
            ("can", "soup can"),
            ("can", "tin"),
            0,
            Meta(annotators=ten),
        ),
        DraftItem(
            "MathVista",
            "2",
            "Length?",
            two,
            ("1.4",),
            ("1.4", "2.4"),
            0,
            Meta(answer_type="float", precision=1),
        ),
    ]


DATASETS = [
    Dataset("ChartQA", "exact_match", 16),
    Dataset("VizWiz", "vqa_soft", 16),
    Dataset("MathVista", "mathvista", 64),
]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    made = tmp_path / "mine"
    return write_suite(made, name="mine", kind="paired", datasets=DATASETS, items=drafts())


def asked(item: Any) -> tuple[Any, ...]:
    return item.question, item.options, item.gold_index, item.answers, item.meta


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("dataset", [one.name for one in DATASETS])
@pytest.mark.parametrize("reader", ["vmcbench", "generic"])
def test_what_is_read_back_is_what_the_suite_asks(
    suite: Suite, form: Form, dataset: str, reader: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out.{form}"
    wanted = [item for item in suite.items if item.dataset == dataset]
    done = export_suite(suite, out, form, dataset=dataset)
    assert done.items == len(wanted)
    source = open_source(reader, out, dataset=dataset)
    items = list(source.items())
    assert all(isinstance(item, SourceItem) for item in items), items
    found = {(i.dataset, i.key): asked(i) for i in items if isinstance(i, SourceItem)}
    assert found == {(item.dataset, item.key): asked(item) for item in wanted}
    shown = {
        i.key: picture
        for i, picture in source.pictures(i for i in items if isinstance(i, SourceItem))
    }
    assert shown == {item.key: suite.image_path(item).read_bytes() for item in wanted}


@pytest.mark.parametrize("form", get_args(Form))
def test_all_datasets_in_one_file(suite: Suite, form: Form, tmp_path: Path) -> None:
    out = tmp_path / f"out.{form}"
    assert export_suite(suite, out, form).pictures == 2
    items = [i for i in open_source("vmcbench", out).items() if isinstance(i, SourceItem)]
    assert [(i.stratum, *asked(i)) for i in items] == [(i.dataset, *asked(i)) for i in suite.items]


def test_the_tsv_is_one_that_vlmevalkit_reads(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    export_suite(suite, out, "tsv", dataset="ChartQA")
    with out.open(encoding="utf-8", newline="") as lines:
        csv.field_size_limit(10_000_000)
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert {"index", "image", "question", "A", "B", "answer", "category"} <= rows[0].keys()
    assert [row["index"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["image"] == "1"
    for row, item in ((rows[0], suite.items[0]), (rows[2], suite.items[2])):
        assert base64.b64decode(row["image"]) == suite.image_path(item).read_bytes()
        assert row[row["answer"]] == item.options[item.gold_index or 0]
    assert rows[0]["open_answers"] == "['4', 'four']"
    assert (rows[0]["C"], rows[0]["E"], rows[0]["open_meta"]) == (suite.items[0].options[2], "", "")


def test_json_lines_name_the_pictures_from_where_the_file_lies(
    suite: Suite, tmp_path: Path
) -> None:
    near, far = tmp_path / "near.jsonl", tmp_path / "sub" / "far.jsonl"
    for out in (near, far):
        export_suite(suite, out, "jsonl")
    first = [json.loads(out.read_text(encoding="utf-8").splitlines()[0]) for out in (near, far)]
    name = f"images/{suite.items[0].image_digest}.png"
    assert [row["image"] for row in first] == [f"mine/{name}", str(suite.directory / name)]
    source = open_source("vmcbench", far, images=suite.directory)
    items = [i for i in source.items() if isinstance(i, SourceItem)]
    assert all(isinstance(picture, bytes) for _, picture in source.pictures(items))


@pytest.mark.parametrize("form", get_args(Form))
def test_items_without_options_are_read_back_too(form: Form, tmp_path: Path) -> None:
    bare = [replace(draft, options=(), gold_index=None) for draft in drafts()[:2]]
    bare.append(drafts()[2])  # in a gold suite some may have options
    made = write_suite(tmp_path / "g", name="g", kind="gold", datasets=DATASETS[:1], items=bare)
    out = tmp_path / f"out.{form}"
    export_suite(made, out, form)
    items = list(open_source("generic", out, dataset="ChartQA").items())
    assert [(i.key, *asked(i)) for i in items if isinstance(i, SourceItem)] == [
        (item.key, *asked(item)) for item in made.items
    ]


# --- what can't be exported -----------------------------------------------------------------------


def test_a_file_in_the_suite_or_a_dataset_that_is_not_there(suite: Suite, tmp_path: Path) -> None:
    before = (suite.directory / "items.jsonl").read_bytes()
    with pytest.raises(ExportError, match="lies in the suite itself"):
        export_suite(suite, suite.directory / "items.jsonl", "jsonl")
    assert (suite.directory / "items.jsonl").read_bytes() == before
    with pytest.raises(ExportError, match="no dataset 'DocVQA'; it has ChartQA, VizWiz, MathVista"):
        export_suite(suite, tmp_path / "o.tsv", "tsv", dataset="DocVQA")
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        export_suite(suite, tmp_path / "folder.tsv", "tsv")


TINY = base64.b64decode("R0lGODlhAQABAIAAAP///////yH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": TINY}, "ChartQA/8: its picture is so small"),
        ({"question": "\ud800"}, "ChartQA/8: not valid Unicode"),
    ],
)
def test_an_item_that_does_not_fit_leaves_the_old_file(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    items = drafts()[:2]
    good = write_suite(tmp_path / "s", name="s", kind="paired", datasets=DATASETS[:1], items=items)
    bad = replace(items[1], **change) if "image" in change else items[1]
    made = write_suite(
        tmp_path / "b", name="b", kind="paired", datasets=DATASETS[:1], items=[items[0], bad]
    )
    if "question" in change:
        made = replace(made, items=(made.items[0], replace(made.items[1], **change)))
    out = tmp_path / "out" / "o.tsv"
    export_suite(good, out, "tsv")
    before = out.read_bytes()
    with pytest.raises(ExportError, match=reason):
        export_suite(made, out, "tsv")
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]
