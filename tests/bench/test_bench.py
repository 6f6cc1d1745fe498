"""The benchmarks still run, compare equals with equals, and report what a reader can parse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.clock import Timed
from bench.closed_ways import must_agree, must_say_the_same
from bench.memory import RESET, measure
from bench.report import Result, document, table
from bench.stage import TINY, Stage
from bench.suite import BENCHMARKS, Scale, run
from ctv_engine.runtime.answering import questions

FIELDS = {"name", "config", "value", "unit", "against", "bar", "bar_is", "ok"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """The tiny parts of every benchmark but that of memory, which starts processes."""
    home = tmp_path_factory.mktemp("bench")
    return run(home, Scale.tiny(), [n for n in BENCHMARKS if n != "memory"], lambda line: None)


def test_the_json_has_every_field_of_every_result(results: list[Result]) -> None:
    found = json.loads(json.dumps(document(results, cpu_s=1.0), allow_nan=False))
    assert set(found) == {"results", "versions", "machine", "cpu_s"}
    assert {"torch", "transformers", "python", "ctv-tui"} <= set(found["versions"])
    assert found["machine"]["cpu"] and found["machine"]["threads"] == 1
    for one in found["results"]:
        assert set(one) == FIELDS
        assert isinstance(one["value"], int | float) and one["value"] >= 0
        assert (one["bar"] is None) == (one["ok"] is None)


def test_every_line_of_the_table_is_a_result(results: list[Result]) -> None:
    rule, *lines = table(results).splitlines()[1:]
    assert len(lines) == len(results) and set(rule) == {"-"}
    for line, result in zip(lines, results, strict=True):
        assert line.startswith(result.name) and result.config in line


def test_what_is_counted_rather_than_timed_keeps_its_bar(results: list[Result]) -> None:
    """Counts are the same on every machine; of what is timed only the ratio is reported."""
    counted = {
        "closed: all ways agree",
        "pictures decoded, input cache",
        "padding, closed plan",
        "row-steps, decode loop",
    }
    assert counted <= {one.name for one in results if one.ok}
    assert all(one.ok for one in results if one.name in counted and one.bar is not None)
    moved = [one.value for one in results if one.name == "in-place swap" and one.unit == "B"]
    assert moved == [0]


@pytest.mark.parametrize(
    ("value", "bar", "bar_is", "ok"),
    [
        (1.04, 1.05, "at most", True),
        (1.06, 1.05, "at most", False),
        (20_000.0, 20_000.0, "at least", True),
        (19_999.0, 20_000.0, "at least", False),
        (3.0, None, "at most", None),
    ],
)
def test_a_bar(value: float, bar: float | None, bar_is: str, ok: bool | None) -> None:
    result = Result("n", "c", value, "x", "a", bar, bar_is)  # type: ignore[arg-type]
    assert result.ok is ok
    assert result.row()[-1] == {True: "ok", False: "MISSED", None: ""}[ok]


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    timed = Timed({"a": [2.0, 9.0, 4.0], "b": [1.0, 1.0, 4.0]})
    assert timed.ratio("a", "b") == 2.0
    assert timed.with_sum("both", "a", "b").ratio("both", "b") == 3.0
    assert Timed.of([timed, timed]).seconds["b"] == [1.0, 1.0, 4.0] * 2


def test_ways_that_differ_are_not_timed() -> None:
    name = ("d", "k")
    assert must_agree("w", {name: (-1.0,)}, {name: (-1.0 + 1e-6,)}) == pytest.approx(1e-6)
    with pytest.raises(AssertionError, match="differ by 2e-05"):
        must_agree("w", {name: (-1.0,)}, {name: (-1.00002,)})
    with pytest.raises(AssertionError):
        must_agree("w", {name: (-1.0,)}, {})
    with pytest.raises(AssertionError, match="w"):
        must_say_the_same("w", {name: "3 tokens: abc"}, {name: "4 tokens: abc"})


@pytest.mark.skipif(not RESET.exists(), reason="this system does not tell a process's peak")
def test_the_kept_cache_is_as_large_as_its_shape(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TINY, items=2)
    checkpoint, where = stage.checkpoint(), stage.suite.directory
    kept = measure(checkpoint, where, 2, "kept")
    adapter = stage.adapter()
    lengths = adapter.inputs.lengths(questions(stage.whole, ("closed",)))
    head = TINY.hidden // TINY.heads
    one_row = 2 * TINY.layers * TINY.key_value_heads * head * 4  # keys and values in float32
    assert kept["cache"] == 2 * max(length or 0 for length in lengths) * one_row
    assert measure(checkpoint, where, 2, "last")["cache"] == 0


def test_pytest_collects_no_benchmark() -> None:
    here = Path(__file__).parent
    assert [path.name for path in here.glob("test_*.py")] == ["test_bench.py"]
    assert not list(here.glob("*_test.py"))
