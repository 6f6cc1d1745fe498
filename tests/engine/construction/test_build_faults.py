"""A build of sources that fit badly: what is no item is out, and what was made stays whole."""

from __future__ import annotations

import json
from pathlib import Path

import published
import pytest

from ctv_engine.construction.build import Build, Report
from ctv_engine.construction.converting import Converted, Converter, Pool, Rejected
from ctv_engine.construction.journal import Draft, Journal, JournalError, State
from ctv_engine.construction.plan import Plan, SourcePlan
from ctv_engine.suite import SuiteError, read_suite


def run(out: Path, *sources: SourcePlan, converter: Converter | None = None) -> Report:
    make = None if converter is None else lambda known: converter
    build = Build(out, Plan("mine", sources), converter=make)
    try:
        return build.run()
    finally:
        build.close()


def own(folder: Path, rows: list[dict[str, object]]) -> str:
    """Write rows of the generic format, all about one picture."""
    (folder / "a.png").write_bytes(published.hf(1)["bytes"])
    lines = [json.dumps({"question": f"What is {n}?", "image": "a.png"} | row)
             for n, row in enumerate(rows)]  # fmt: skip
    (folder / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "own.jsonl")


class Odd:
    """A converter that rejects every other row."""

    name = "odd"

    async def convert(self, draft: Draft, picture: bytes, pool: Pool) -> Converted | Rejected:
        if draft.origin.row % 2:
            return Rejected("odd")
        return Converted((draft.answers[0], "a", "b", "c"), 0, {})


def test_the_draw_goes_on_behind_its_spare_items(tmp_path: Path) -> None:
    """Of 60 items half are rejected, of those that replace them half again: 120 of the 95 drawn."""
    source = own(tmp_path, [{"answer": str(n)} for n in range(300)])
    report = run(tmp_path / "s", SourcePlan("generic", source, 60), converter=Odd())
    assert report.of("own", State.KEPT) == 60
    assert report.of("own", State.REJECTED) > 35
    all_of_it = run(tmp_path / "t", SourcePlan("generic", source, 200), converter=Odd())
    assert all_of_it.of("own", State.KEPT) == all_of_it.of("own", State.REJECTED) == 150


@pytest.mark.parametrize(
    ("metric", "lacking"), [("mathvista", "meta.answer_type"), ("vqa_soft", "meta.annotators")]
)
def test_items_that_the_metric_can_not_score_are_out(
    metric: str, lacking: str, tmp_path: Path
) -> None:
    source = own(tmp_path, [{"answer": str(n)} for n in range(8)])
    report = run(tmp_path / "s", SourcePlan("generic", source, open_metric=metric))  # type: ignore[arg-type]
    assert report.suite is None and report.of("own", State.REJECTED) == 8
    ((_, reason),) = report.reasons
    assert lacking in reason


def test_numbers_of_options_that_no_suite_can_have(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"answer": options[0], "options": options}
        for options in (["a"], [f"option {n}" for n in range(27)], ["x", "y", "z"])
    ]
    report = run(tmp_path / "s", SourcePlan("generic", own(tmp_path, rows)))
    assert report.suite is not None and len(report.suite.items) == 1
    assert {reason for _, reason in report.reasons} == {
        "1 options; it takes 2 to 26",
        "27 options; it takes 2 to 26",
    }


HOSTILE = [
    "9" * 70, "-" + "1" * 40, "0." + "0" * 40 + "12", "٣٤", "\ud83d half a pair", "\x1b[2J clear",
    "1e400", "²", "½", "0", "-0", "0.0%", ", , ,", "x" * 290, "Yes.", "1,2,3",
]  # fmt: skip


@pytest.mark.parametrize("metric", ["exact_match", "relaxed", "anls"])
def test_answers_of_any_kind_end_no_build(metric: str, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"answer": answer, "question": f"Which \ud83d {n}?"} for n, answer in enumerate(HOSTILE * 4)
    ]
    report = run(tmp_path / "s", SourcePlan("generic", own(tmp_path, rows), open_metric=metric))  # type: ignore[arg-type]
    out, kept = report.of("own", State.REJECTED), report.of("own", State.KEPT)
    assert out + kept == len(rows) and kept > 0
    suite = read_suite(tmp_path / "s")
    assert suite.items[0].question == "Which ? 0?"
    printed = [option for item in suite.items for option in item.options]
    assert all(option.isprintable() for option in printed)


def test_a_dataset_with_one_answer_to_everything(tmp_path: Path) -> None:
    report = run(
        tmp_path / "s", SourcePlan("generic", own(tmp_path, [{"answer": "unanswerable"}] * 9))
    )
    assert report.of("own", State.REJECTED) == 9


def test_a_source_that_is_left_out_is_missed(tmp_path: Path) -> None:
    numbers = [{"answer": str(n)} for n in range(20, 40)]
    (tmp_path / "b").mkdir()
    one = SourcePlan("generic", own(tmp_path, numbers), 5, dataset="one")  # type: ignore[arg-type]
    two = SourcePlan("generic", own(tmp_path / "b", numbers), 5, dataset="two")  # type: ignore[arg-type]
    both = run(tmp_path / "s", one, two).suite
    assert both is not None
    with pytest.raises(JournalError, match=r"the source of two is missing.*--restart"):
        run(tmp_path / "s", one)
    assert read_suite(tmp_path / "s").digest == both.digest


def test_a_suite_with_a_fault_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    source = SourcePlan("generic", own(tmp_path, [{"answer": str(n)} for n in range(20, 40)]), 5)
    before = run(tmp_path / "s", source).suite
    assert before is not None
    journal = Journal(tmp_path / "s")
    first = next(journal.drafts(State.KEPT))
    journal.decide(first.id, "edit", state=State.KEPT, options=("1", "1"), gold_index=0)
    journal.close()
    with pytest.raises(SuiteError, match="two options are equal"):
        run(tmp_path / "s", source)
    assert read_suite(tmp_path / "s").digest == before.digest
    assert not list((tmp_path / "s").glob("*.new"))
