"""Sources that are broken say what is wrong, where, and the way out; the other rows go on."""

from __future__ import annotations

import io
from pathlib import Path

import published
import pytest
from PIL import Image

from ctv_engine.construction.readers import open_source
from ctv_engine.construction.readers.columns import texts
from ctv_engine.construction.readers.pictures import PictureError, picture_bytes, whole_picture
from ctv_engine.construction.source import Fault, SourceError


def only_fault(benchmark: str, path: Path) -> str:
    (fault,) = open_source(benchmark, path).items()
    assert isinstance(fault, Fault)
    return fault.reason


BAD_CHOICES = [
    ({"answer": "E"}, "letter of none of 4 options"),
    ({"answer": ""}, "withheld"),
    ({"C": "4"}, "two of its options are equal"),
    ({"B": ""}, "an empty one between others"),
]


@pytest.mark.parametrize(("change", "reason"), BAD_CHOICES)
def test_multiple_choice_that_is_none(change: dict[str, str], reason: str, tmp_path: Path) -> None:
    path = published.parquet(tmp_path / "v.parquet", [{**published.VMCBENCH[0], **change}])
    assert reason in only_fault("vmcbench", path)


MATHS = [
    ({"answer_type": "maybe"}, "answer_type 'maybe' is none of"),
    ({"answer_type": "float", "precision": None}, "is no number of decimal places"),
    ({"answer": "seven"}, "is no integer"),
    ({"choices": ["a", "b"], "answer": "c"}, "'c' is none of the choices 'a', 'b'"),
    ({"answer": ""}, "withheld"),
]


@pytest.mark.parametrize(("change", "reason"), MATHS)
def test_maths_that_could_not_be_scored(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    path = published.parquet(tmp_path / "m.parquet", [published.maths("1", **change)])
    assert reason in only_fault("mathvista", path)


def test_vizwiz_takes_ten_people(tmp_path: Path) -> None:
    path = published.parquet(tmp_path / "v.parquet", [{**published.VIZWIZ[0], "answers": ["can"]}])
    assert "1 answers; its metric takes those of 10" in only_fault("vizwiz", path)


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    rows = [{"type": "x", "questoin": "How?", "answer": "4", "image": "a.png"}]
    path = published.json_lines(tmp_path / "c.jsonl", rows)
    with pytest.raises(SourceError, match=r"question.*nearest is 'questoin'.*question=COLUMN"):
        open_source("chartqa", path)
    with pytest.raises(SourceError, match="no part is called 'answr'; the parts are key, question"):
        open_source("chartqa", path, columns={"question": "questoin", "answr": "x"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 not", "not a Parquet file"),
        ("a.json", b"{", "can't be read as JSON"),
        ("a.jsonl", b"[1]\n", "entry 0 is no object"),
        ("a.jsonl", b"", "holds no objects"),
        ("a.tsv", b"", "the first line names the columns"),
        ("a.tsv", b"\xff\xfe\x00", "can't be read as TSV"),
        ("a.csv", b"x", "not one of"),
    ],
)
def test_a_file_that_can_not_be_read(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source("chartqa", tmp_path / name)


def test_a_row_with_too_few_cells_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("index\tquestion\tanswer\timage\n1\tWhat?\n", encoding="utf-8")
    with pytest.raises(SourceError, match="row 0 has 2 cells, the first line names 4"):
        list(open_source("chartqa", path).items())


@pytest.mark.parametrize("path", ["nothing", "empty"])
def test_a_source_that_is_not_there(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no such file|in this folder"):
        open_source("chartqa", tmp_path / path)
    with pytest.raises(SourceError, match="no benchmark is called 'chart'; there are chartqa"):
        open_source("chart", tmp_path)


def test_lists_are_read_as_literals_and_never_evaluated() -> None:
    assert texts("['a', 'b']") == ["a", "b"]
    assert texts('["a", null, " "]') == ["a"]
    assert texts("plain") == ["plain"]
    assert texts("[__import__('os').getcwd()]") == ["[__import__('os').getcwd()]"]
    assert texts("[" * 5000 + "]" * 5000) == ["[" * 5000 + "]" * 5000]
    assert texts([{"answer": "can"}, {"answer": None}]) == ["can"]


def _bomb(side: int) -> bytes:
    picture = io.BytesIO()
    Image.new("1", (side, side)).save(picture, "PNG")
    return picture.getvalue()


def _cut(kind: str) -> bytes:
    data = published.picture(3, (200, 200), kind)
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture"),
        (b"GIF89a", "can't be decoded|no picture"),
        (_cut("PNG"), "can't be decoded"),
        (_cut("JPEG"), "can't be decoded"),
        (_bomb(10_001), "10001 × 10001 are too many pixels; the limit is 100,000,000"),
        (_bomb(20_000), "too many pixels; the limit is 100,000,000"),
    ],
    ids=["empty", "header", "cut png", "cut jpeg", "large", "bomb"],
)
def test_pictures_that_can_not_be_used(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        whole_picture(data)


def test_a_picture_of_a_format_that_suites_do_not_take_is_encoded_anew() -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (3, 2), (255, 0, 0)).save(encoded, "PPM")
    kept = whole_picture(encoded.getvalue())
    assert kept.startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(kept)).getpixel((2, 1)) == (255, 0, 0)


def test_base64_that_is_broken(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="base64 is broken"):
        picture_bytes("data:image/png;base64,???", tmp_path)
    with pytest.raises(PictureError, match="no picture in this row"):
        picture_bytes(None, tmp_path)
