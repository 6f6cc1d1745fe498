"""Rows as text: exact for programs, harmless for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

from ctv_tui.sql.printing import FORMATS, LOOKED_AT, Format, printed

HOSTILE = '\x1b[2J\x9b31m\u202etxt.exe, "quoted"\r\nnext|line\t\\'
ROWS: list[tuple[Any, ...]] = [
    (1, 0.1 + 0.2, "plain", None, b"\x00\xff"),
    (-(2**63), float("inf"), "", "", None),
    (0, -0.0, HOSTILE, "żółw 数", b""),
]
NAMES = ("id", "value", "text", "more", "raw")


def text_of(kind: Format, names: tuple[str, ...] = NAMES, rows: Any = ROWS) -> str:
    return "".join(printed(kind, names, rows))


def test_csv_is_exact_and_tells_null_from_empty() -> None:
    text = text_of("csv")
    assert text.splitlines()[1] == "1,0.30000000000000004,plain,,00ff"
    assert text.splitlines()[2] == '-9223372036854775808,inf,"","",'
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0] == list(NAMES)
    assert read[3] == ["0", "-0.0", HOSTILE, "żółw 数", ""]


def test_json_is_exact() -> None:
    found = json.loads(text_of("json"))
    assert [tuple(row) for row in found] == [NAMES] * 3
    assert found[0] == dict(zip(NAMES, (1, 0.1 + 0.2, "plain", None, "00ff"), strict=True))
    assert found[1]["value"] == float("inf") and found[1]["text"] == ""
    assert found[2]["text"] == HOSTILE


def test_json_has_every_column_even_if_two_have_one_name() -> None:
    assert json.loads(text_of("json", ("a", "a", "a_2", "a"), [(1, 2, 3, 4)])) == [
        {"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}
    ]


def test_a_table_is_lined_up_and_steers_no_terminal() -> None:
    assert text_of("table", ("step", "why", "score"), [(10, None, 0.5), (200, "数え", 0.25)]) == (
        "step  why   score\n----  ----  -----\n  10  –       0.5\n 200  数え   0.25\n"
    )
    for kind in ("table", "markdown"):
        text = text_of(kind)  # type: ignore[arg-type]
        assert all(line.isprintable() for line in text.split("\n"))
        assert r"\x1b[2J" in text.replace("\\\\", "\\") and len(text.splitlines()) == 5


def test_markdown_has_as_many_cells_in_every_line() -> None:
    lines = text_of("markdown").replace(r"\|", "").splitlines()
    assert {line.count("|") for line in lines} == {6}
    assert lines[1] == "| ---: | ---: | --- | --- | --- |"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("table", "a  b\n-  -\n"),
        ("csv", "a,b\n"),
        ("json", "[]\n"),
        ("markdown", "| a | b |\n| --- | --- |\n"),
    ],
)
def test_no_row_is_an_answer_as_well(kind: Format, text: str) -> None:
    assert text_of(kind, ("a", "b"), []) == text


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_come_out_before_the_last_one_was_read(kind: Format) -> None:
    read = 0

    def endless() -> Iterator[tuple[int, str]]:
        nonlocal read
        for read in count(1):
            yield read, "x" * 10

    assert len(list(islice(printed(kind, ("a", "b"), endless()), 2000))) == 2000
    assert read < 2000 + LOOKED_AT


def test_long_values_are_cut_for_people_only() -> None:
    rows = [("x" * 100_000, "y" * 100_000)]
    [_, _, line] = text_of("table", ("a", "b"), rows).splitlines()
    assert len(line) < 250 and line.count("…") == 2
    assert len(text_of("csv", ("a", "b"), rows)) > 200_000
    assert len(text_of("json", ("a", "b"), rows)) > 200_000
