"""Readers on files in exactly the published columns."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import published
import pytest
from PIL import Image, ImageDraw

from ctv_engine.construction.readers import BENCHMARKS, open_source
from ctv_engine.construction.readers.pairing import PairedSource
from ctv_engine.construction.source import Fault, Origin, Source, SourceItem
from ctv_engine.suite import Meta
from ctv_engine.suite.metrics import check_meta


def read(source: Source) -> tuple[list[SourceItem], list[Fault]]:
    found = list(source.items())
    return (
        [one for one in found if isinstance(one, SourceItem)],
        [one for one in found if isinstance(one, Fault)],
    )


def pictures(source: Source, items: list[SourceItem]) -> dict[str, bytes | Fault]:
    return {item.key: found for item, found in source.pictures(items)}


INTEGER = Meta(answer_type="integer")
PUBLISHED = {
    "chartqa": (published.CHARTQA, [("0", "How many bars?", ("4",), "human_test", Meta())]),
    "docvqa": (
        published.DOCVQA,
        [("49153", "What is the date?", ("May 4", "4 May"), "handwritten", Meta())],
    ),
    "infovqa": (published.INFOVQA, [("98313", "How many?", ("12%",), "single span", Meta())]),
    "mathvista": (
        published.MATHVISTA,
        [
            ("1", "What is the sum?", ("7",), "geometry", INTEGER),
            (
                "2",
                "What is the sum? (Unit: cm)",
                ("1.4",),
                "geometry",
                Meta(answer_type="float", precision=1),
            ),
            ("3", "What is the sum?", ("4 cm",), "geometry", Meta(choices=("3 cm", "4 cm"))),
        ],
    ),
    "mmvet": (
        published.MMVET,
        [("v1_0", "What is x?", ("-1 <AND> -5",), "math+ocr", Meta(capabilities=("math", "ocr")))],
    ),
    "vizwiz": (
        published.VIZWIZ,
        [
            (
                "VizWiz_val_1.jpg",
                "What is this?",
                ("can", "soup can", "soup", "unanswerable", "x"),
                "other",
                Meta(annotators=tuple(published.VIZWIZ[0]["answers"])),
            )
        ],
    ),
}


@pytest.mark.parametrize("benchmark", PUBLISHED)
def test_the_published_columns_are_read(benchmark: str, tmp_path: Path) -> None:
    rows, expected = PUBLISHED[benchmark]
    source = open_source(benchmark, published.parquet(tmp_path / "test.parquet", rows))
    items, faults = read(source)
    assert faults == []
    found = [(i.key, i.question, i.answers, i.stratum, i.meta) for i in items]
    assert found[: len(expected)] == expected
    assert len(found) == len(rows)
    for item in items:
        assert check_meta(BENCHMARKS[benchmark].metric, item.answers, item.meta) == []
    shown = pictures(source, items)
    column = "decoded_image" if benchmark == "mathvista" else "image"
    assert [shown[item.key] for item in items] == [row[column]["bytes"] for row in rows]


def test_choices_of_mathvista_are_options_already(tmp_path: Path) -> None:
    path = published.parquet(tmp_path / "m.parquet", published.MATHVISTA)
    items, _ = read(open_source("mathvista", path))
    assert (items[-1].options, items[-1].gold_index) == (("3 cm", "4 cm"), 1)


def test_the_original_chartqa_names_its_pictures_by_file(tmp_path: Path) -> None:
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "a.png").write_bytes(published.picture(1))
    path = tmp_path / "test_human.json"
    path.write_text(json.dumps(published.CHARTQA_ORIGINAL), encoding="utf-8")
    source = open_source("chartqa", path, images=tmp_path / "png")
    items, faults = read(source)
    assert [(item.question, item.answers) for item in items] == [("How many bars?", ("4",))]
    assert faults == []
    assert pictures(source, items) == {"0": published.picture(1)}


def test_tsv_with_base64_and_references(tmp_path: Path) -> None:
    lists = "['a', \"b's\"]", "['c']", "[]"
    rows = [
        {"index": "3", "question": "One?", "answer": lists[0], "image": published.encoded(1)},
        {"index": "4", "question": "Two?", "answer": lists[1], "image": "3"},
        {"index": "5", "question": "Three?", "answer": lists[2], "image": published.encoded(2)},
    ]
    source = open_source("docvqa", published.tsv(tmp_path / "DocVQA_VAL.tsv", rows))
    items, faults = read(source)
    assert [(i.key, i.answers) for i in items] == [("3", ("a", "b's")), ("4", ("c",))]
    assert [fault.origin for fault in faults] == [Origin("DocVQA_VAL.tsv", 2)]
    assert "withheld" in faults[0].reason
    assert pictures(source, [items[1]]) == {"4": published.picture(1, (64, 48))}


def test_vlmevalkits_mathvista_and_vizwiz_tables(tmp_path: Path) -> None:
    maths = {
        "index": "1",
        "question": "Sum?",
        "answer": "B",
        "answer_option": "B",
        "choices": "['3', '4']",
        "question_type": "multi_choice",
        "answer_type": "integer",
        "task": "geometry",
        "skills": "['a']",
        "image": published.encoded(1),
    }
    path = published.tsv(tmp_path / "MathVista_MINI.tsv", [maths])
    items, faults = read(open_source("mathvista", path))
    assert faults == []
    assert (items[0].answers, items[0].meta.choices) == (("4",), ("3", "4"))
    assert items[0].stratum == "geometry"
    answers = str(["can"] * 10)
    people = {"index": "1", "question": "?", "answers": answers, "image": published.encoded(2)}
    items, _ = read(open_source("vizwiz", published.tsv(tmp_path / "VizWiz.tsv", [people])))
    assert (items[0].answers, items[0].meta.annotators) == (("can",), ("can",) * 10)


def test_data_of_ones_own_with_a_column_map(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.jpg").write_bytes(published.picture(1, kind="JPEG"))
    rows = [
        {"q": "What?", "gold": "b", "choices": ["a", "b"], "file": "1.jpg"},
        {"q": "And?", "gold": ["x", "y"], "choices": None, "file": "../secret.png"},
        {"q": "So?", "gold": "x", "choices": None, "file": "none.png"},
        {"q": " ", "gold": "x", "choices": None, "file": "1.jpg"},
    ]
    source = open_source(
        "generic",
        published.json_lines(tmp_path / "mine.jsonl", rows),
        images=tmp_path / "img",
        columns={"question": "q", "answer": "gold", "image": "file"},
    )
    assert source.dataset == "mine"
    items, faults = read(source)
    assert [(i.answers, i.options, i.gold_index) for i in items] == [
        (("b",), ("a", "b"), 1),
        (("x", "y"), (), None),
        (("x",), (), None),
    ]
    assert [fault.reason for fault in faults] == ["the question is empty"]
    shown = pictures(source, items)
    assert shown["0"] == published.picture(1, kind="JPEG")
    assert "leads out of" in str(shown["1"])
    assert "no picture 'none.png'" in str(shown["2"])


def test_files_of_a_folder_are_one_source_and_keys_stay_apart(tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    for part in ("a", "b"):
        published.parquet(charts / f"{part}.parquet", published.CHARTQA)
    source = open_source("chartqa", charts)
    items, _ = read(source)
    assert [item.key for item in items] == ["a-0", "a-1", "b-0", "b-1"]
    assert len(pictures(source, items)) == 4
    twice = published.parquet(tmp_path / "twice.parquet", published.DOCVQA * 2)
    items, _ = read(open_source("docvqa", twice))
    assert [item.key for item in items] == ["49153", "49153@1"]


# --- VMCBench -------------------------------------------------------------------------------------


def test_vmcbench_is_paired_with_the_open_question(tmp_path: Path) -> None:
    other = {**published.CHARTQA[0], "image": published.hf(77)}  # the same words, another picture
    charts = published.parquet(tmp_path / "charts.parquet", [other, *published.CHARTQA])
    rows = [
        published.VMCBENCH[0],
        {**published.VMCBENCH[0], "index": 8, "question": "Unheard of?"},
        {**published.VMCBENCH[0], "index": 9, "answer": "A"},
        {**published.VMCBENCH[0], "index": 10, "image": published.hf(5)},
    ]
    choices = published.parquet(tmp_path / "VMCBench_DEV.parquet", rows)
    source = PairedSource(open_source("vmcbench", choices), [open_source("chartqa", charts)])
    items, faults = read(source)
    assert [(i.dataset, i.key, i.options, i.gold_index) for i in items] == [
        ("ChartQA", "1", ("3", "4", "5", "6"), 1)
    ]
    assert [(fault.origin.row, fault.reason) for fault in faults] == [
        (1, "no open question has its words"),
        (2, "no open question with its words accepts '3'"),
        (3, "the open questions with its words and key have other pictures"),
    ]
    assert pictures(source, items) == {"1": published.picture(1)}


def test_a_row_that_stands_for_two_questions_stays_alone(tmp_path: Path) -> None:
    charts = published.parquet(tmp_path / "c.parquet", [published.CHARTQA[0]] * 2)
    choices = published.parquet(tmp_path / "v.parquet", published.VMCBENCH)
    source = PairedSource(open_source("vmcbench", choices), [open_source("chartqa", charts)])
    items, faults = read(source)
    assert items == []
    assert faults[0].reason == "stands for several open questions: ChartQA/0, ChartQA/1"


def _bars(heights: tuple[int, ...], kind: str = "PNG", size: tuple[int, int] = (400, 300)) -> Any:
    """Return a bar chart of a style that many charts share: white, with little ink."""
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    for n, height in enumerate(heights):
        draw.rectangle((20 + 60 * n, 290 - height, 60 + 60 * n, 290), fill=(50, 100, 200))
    encoded = io.BytesIO()
    image.resize(size).save(encoded, kind, quality=75)
    return {"bytes": encoded.getvalue(), "path": None}


BARS = (50, 90, 200, 120, 240, 70)
OTHER_BARS = (50, 90, 190, 130, 240, 70)


def test_a_picture_saved_anew_is_the_same_and_one_that_looks_like_it_is_not(tmp_path: Path) -> None:
    chart = {**published.CHARTQA[0], "image": _bars(BARS)}
    charts = published.parquet(tmp_path / "charts.parquet", [chart])
    shown = [_bars(BARS, "JPEG"), _bars(BARS, "JPEG", (200, 150)), _bars(OTHER_BARS)]
    found = []
    for n, image in enumerate(shown):
        rows = [{**published.VMCBENCH[0], "image": image}]
        choices = open_source("vmcbench", published.parquet(tmp_path / f"{n}.parquet", rows))
        items, _ = read(PairedSource(choices, [open_source("chartqa", charts)]))
        found.append([item.key for item in items])
    assert found == [["0"], ["0"], []]


def test_an_open_question_gets_the_options_of_one_row(tmp_path: Path) -> None:
    charts = published.parquet(tmp_path / "charts.parquet", published.CHARTQA)
    choices = published.parquet(tmp_path / "v.parquet", published.VMCBENCH * 2)
    source = PairedSource(open_source("vmcbench", choices), [open_source("chartqa", charts)])
    items, faults = read(source)
    assert [item.key for item in items] == ["0"]
    assert [(f.origin.row, f.reason) for f in faults] == [(1, "ChartQA/0 has the options of row 0")]


REWRITTEN = [
    ("mmvet", published.MMVET, {"question": "What is X", "B": "both, -1 and -5"}, 8, "PNG"),
    (
        "mathvista",
        published.MATHVISTA[1:2],
        {"question": "What is the sum?", "B": "1.4"},
        2,
        "JPEG",
    ),
]


@pytest.mark.parametrize(("benchmark", "rows", "change", "picture", "kind"), REWRITTEN)
def test_reworded_golds_and_units_are_no_obstacle(
    benchmark: str,
    rows: list[dict[str, Any]],
    change: dict[str, str],
    picture: int,
    kind: str,
    tmp_path: Path,
) -> None:
    opened = open_source(benchmark, published.parquet(tmp_path / "open.parquet", rows))
    row = {**published.VMCBENCH[0], **change, "image": published.hf(picture, kind)}
    choices = open_source("vmcbench", published.parquet(tmp_path / "v.parquet", [row]))
    ((item,), faults) = read(PairedSource(choices, [opened]))
    assert faults == []
    assert (item.options[1], item.meta) == (change["B"], next(iter(read(opened)[0])).meta)


# --- memory ---------------------------------------------------------------------------------------

_PEAK = """
import resource, sys
from pathlib import Path
from ctv_engine.construction.readers import open_source
source = open_source("docvqa", Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
items = sum(1 for _ in source.items())
some = (item for item in source.items() if int(item.key) % 7 == 0)
size = sum(len(found) for _, found in source.pictures(some))
print(items, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    encoded = io.BytesIO()
    Image.effect_noise((512, 512), 80).convert("L").save(encoded, "PNG")
    row = {**published.DOCVQA[0], "image": {"bytes": encoded.getvalue(), "path": None}}
    rows = [{**row, "questionId": str(n)} for n in range(600)]
    path = published.parquet(tmp_path / "d.parquet", rows, row_group=300)
    assert len(rows) * len(encoded.getvalue()) > 100_000_000
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
    )
    items, size, grown_kib = map(int, done.stdout.split())
    assert (items, size) == (600, 86 * len(encoded.getvalue()))
    assert grown_kib < 80 * 1024
