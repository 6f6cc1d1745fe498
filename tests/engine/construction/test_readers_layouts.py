"""The layouts beside the published Parquet: original JSON files, folders of splits, odd cells."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import published
import pytest

from ctv_engine.construction.readers import open_source
from ctv_engine.construction.readers.columns import texts
from ctv_engine.construction.readers.json_rows import json_rows
from ctv_engine.construction.readers.pictures import PictureError, picture_bytes, whole_picture
from ctv_engine.construction.source import SourceError, SourceItem

PEOPLE = ["Can", "can", "Can", "", "A can", "tin", "tin", "box", "unanswerable", "?"]


def only(benchmark: str, path: Path) -> SourceItem:
    (item,) = open_source(benchmark, path).items()
    assert isinstance(item, SourceItem), item
    return item


def maths() -> dict[str, Any]:
    row = published.maths("4")
    return {name: cell for name, cell in row.items() if name not in ("pid", "decoded_image")}


ORIGINALS: list[tuple[str, Any, tuple[str, str, tuple[str, ...]]]] = [
    ("mathvista", {"4": maths()}, ("4", "What is the sum?", ("7",))),
    (
        "mmvet",
        {"v1_0": {"imagename": "v1_0.png", "question": "x?", "answer": "1 <OR> 2",
                  "imagesource": "web", "capability": ["ocr", "math"]}},
        ("v1_0", "x?", ("1 <OR> 2",)),
    ),
    (
        "docvqa",
        {"dataset_name": "docvqa", "dataset_split": "val",
         "data": [{"questionId": 337, "question": "q?", "image": "documents/a.png",
                   "answers": ["a", "b"]}]},
        ("337", "q?", ("a", "b")),
    ),
    (
        "infovqa",
        {"data": [{"questionId": 65718, "question": "q?", "image_local_name": "1.jpeg",
                   "answers": ["a"]}]},
        ("65718", "q?", ("a",)),
    ),
    (
        "vizwiz",
        [{"image": "VizWiz_val_0.jpg", "question": "q?",
          "answers": [{"answer": a, "answer_confidence": "yes"} for a in PEOPLE]}],
        ("0", "q?", ("Can", "tin", "box", "unanswerable")),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("benchmark", "content", "expected"), ORIGINALS)
def test_the_original_json(
    benchmark: str, content: Any, expected: tuple[str, str, tuple[str, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    item = only(benchmark, path)
    assert (item.key, item.question, item.answers) == expected
    if benchmark == "vizwiz":
        assert item.meta.annotators == tuple(PEOPLE)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_json_is_read_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctv_engine.construction.readers.json_rows.CHUNK", size)
    rows = [{"n": 12345, "text": 'a "quoted" é \\ ]}', "list": [1, {"b": []}]}, {}, 3, "x"]
    assert list(json_rows(io.StringIO(json.dumps(rows)))) == rows
    assert list(json_rows(io.StringIO('{"n": 10, "data": [{"a": 1} , {"a": 2}], "m": null}'))) == [
        {"a": 1},
        {"a": 2},
    ]
    assert list(json_rows(io.StringIO("[]"))) == []


@pytest.mark.parametrize(
    "text", ["", "3", "[1", "[1,", "[1 2]", '{"a" 1}', "{1: 2}", "[1] 2", "{'a': 1}", "[1,]"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(json_rows(io.StringIO(text)))


def test_a_column_that_the_first_row_lacks(tmp_path: Path) -> None:
    rows = [{"question": "q?", "answer": "a", "image": "x"}, {"question": "r?", "answer": "b"}]
    rows[1] |= {"image": "y", "type": "human"}
    source = open_source("chartqa", published.json_lines(tmp_path / "c.jsonl", rows))
    assert [i.stratum for i in source.items() if isinstance(i, SourceItem)] == ["", "human"]


def test_splits_are_not_mixed(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for n in range(2):
            name = f"{split}-0000{n}-of-00002.parquet"
            published.parquet(tmp_path / name, published.DOCVQA)
    with pytest.raises(SourceError, match=r"splits \(train, validation\); name one: .*validation-"):
        open_source("docvqa", tmp_path)
    source = open_source("docvqa", tmp_path / "validation-*")
    items = [item for item in source.items() if isinstance(item, SourceItem)]
    assert [item.origin.file for item in items] == [
        "validation-00000-of-00002.parquet",
        "validation-00001-of-00002.parquet",
    ]
    assert all(isinstance(picture, bytes) for _, picture in source.pictures(items))
    with pytest.raises(SourceError, match=r"no \.json"):
        open_source("docvqa", tmp_path / "test-*")


# --- cells ----------------------------------------------------------------------------------------


def test_a_chart_label_that_looks_like_a_list_is_one_answer(tmp_path: Path) -> None:
    row = {**published.CHARTQA_ORIGINAL[0], "label": "[2, 5]"}
    assert only("chartqa", published.json_lines(tmp_path / "a.jsonl", [row])).answers == ("[2, 5]",)
    row["label"] = ["4"]  # type: ignore[assignment]  # HuggingFaceM4/ChartQA has lists
    assert only("chartqa", published.json_lines(tmp_path / "b.jsonl", [row])).answers == ("4",)


ARRAYS = [
    ("['a' 'b']", ["a", "b"]),
    ("['a'\n \"b's\"]", ["a", "b's"]),
    ("[\"it's 'a' 'b'\"]", ["it's 'a' 'b'"]),
    ("[\"x 'a' 'b'\", 'y']", ["x 'a' 'b'", "y"]),
]


@pytest.mark.parametrize(("cell", "expected"), ARRAYS)
def test_numpys_arrays_are_lists(cell: str, expected: list[str]) -> None:
    assert texts(cell) == expected


def test_half_a_surrogate_pair_is_a_question_mark(tmp_path: Path) -> None:
    row = {**published.CHARTQA_ORIGINAL[0], "query": "Which \ud800?"}
    (item,) = open_source("chartqa", published.json_lines(tmp_path / "c.jsonl", [row])).items()
    assert isinstance(item, SourceItem)
    assert item.question == "Which ??"


def test_a_quote_that_is_never_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctv_engine.construction.readers.tables.LONGEST_CELL", 1000)
    path = tmp_path / "a.tsv"
    body = '1\t"What?\ta\tb\n' + "2\tq\ta\tb\n" * 1000
    path.write_text(f"index\tquestion\tanswer\timage\n{body}", encoding="utf-8")
    with pytest.raises(SourceError, match="field larger than field limit"):
        list(open_source("chartqa", path).items())


# --- pictures -------------------------------------------------------------------------------------


def test_small_pictures_in_base64_are_no_paths(tmp_path: Path) -> None:
    small = base64.b64encode(_white(1)).decode()
    assert 64 < len(small) < 256
    assert picture_bytes(small, tmp_path) == _white(1)
    long_name = "folder/" * 12 + "a.png"
    with pytest.raises(PictureError, match="no picture 'folder/"):
        picture_bytes(long_name, tmp_path)


def test_postscript_is_not_handed_to_an_interpreter() -> None:
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(PictureError, match="the bytes are no picture"):
        whole_picture(page)


@pytest.mark.filterwarnings("error")
def test_a_large_picture_below_the_limit_is_no_warning() -> None:
    assert whole_picture(_white(9500)).startswith(b"\x89PNG")  # Pillow warns from 89 million pixels


def _white(side: int) -> bytes:
    from PIL import Image

    encoded = io.BytesIO()
    Image.new("1", (side, side)).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.mark.parametrize("package", ["pyarrow", "PIL"])
def test_a_package_that_is_not_installed(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = published.parquet(tmp_path / "c.parquet", published.CHARTQA)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=r"pip install 'ctv-tui\[suite\]'"):
        source = open_source("chartqa", path)
        list(source.pictures(item for item in source.items() if isinstance(item, SourceItem)))
