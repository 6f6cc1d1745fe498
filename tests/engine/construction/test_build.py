"""A build from files to suite: what it makes, and that it goes on wherever it was ended."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

import published
import pytest

from ctv_engine.construction.build import Build, Report
from ctv_engine.construction.converting import Converted, Pool, Rejected
from ctv_engine.construction.distractors import RulesConverter
from ctv_engine.construction.journal import Draft, Journal, JournalError, State, Vote
from ctv_engine.construction.plan import Plan, PlanError, SourcePlan, plan_of
from ctv_engine.construction.writing import write_from_journal
from ctv_engine.llm.asking import BudgetSpent, Unreachable
from ctv_engine.suite import read_suite
from ctv_engine.suite.provenance import read_provenance

ROWS = 60


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty questions about charts; every tenth picture is broken."""
    rng = random.Random(1)
    rows = []
    for n in range(ROWS):
        image = published.hf(n) if n % 10 else {"bytes": b"no picture", "path": None}
        answer = str(rng.randint(20, 90))
        kind = "human_test" if n % 2 else "augmented_test"
        rows.append({"type": kind, "question": f"How many {n}?", "answer": answer, "image": image})
    return published.parquet(tmp_path_factory.mktemp("charts") / "test.parquet", rows)


def plan(charts: Path, n: int | None = 20, **more: object) -> Plan:
    return Plan("mine", (SourcePlan("chartqa", str(charts), n),), **more)  # type: ignore[arg-type]


def run(out: Path, asked: Plan, **parts: object) -> Report:
    build = Build(out, asked, **parts)  # type: ignore[arg-type]
    try:
        return build.run()
    finally:
        build.close()


def test_a_suite_is_made_and_read_back(charts: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "suite", plan(charts))
    suite = read_suite(tmp_path / "suite")
    assert report.suite is not None and report.suite.digest == suite.digest
    assert len(suite.items) == 20 and suite.kind == "paired"
    assert suite.dataset("ChartQA").open_metric == "exact_match"
    assert all(len(item.options) == 4 for item in suite.items)
    letters = Counter(item.gold_index for item in suite.items)
    assert max(letters.values()) <= 12 and len(letters) == 4
    rows = read_provenance(tmp_path / "suite")
    assert rows.keys() == {("ChartQA", item.key) for item in suite.items}
    assert {row["converter"] for row in rows.values()} == {"rules"}
    assert all(row["source_file"] == "test.parquet" for row in rows.values())
    assert {int(key) == row["source_row"] for (_, key), row in rows.items()} == {True}


def test_a_broken_picture_makes_room_for_the_next(charts: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "suite", plan(charts, 50))
    assert report.of("ChartQA", State.KEPT) == 50
    everything = run(tmp_path / "all", plan(charts, None))
    assert everything.of("ChartQA", State.KEPT) == ROWS - ROWS // 10
    assert everything.counts["ChartQA"].faults["picture"] == ROWS // 10


def test_the_same_call_again_does_nothing_anew(charts: Path, tmp_path: Path) -> None:
    first = run(tmp_path / "suite", plan(charts))
    changes = sqlite3.connect(tmp_path / "suite" / "build.db")
    before = changes.execute("SELECT * FROM drafts").fetchall()
    second = run(tmp_path / "suite", plan(charts))
    assert changes.execute("SELECT * FROM drafts").fetchall() == before
    changes.close()
    assert first.suite and second.suite and first.suite.digest == second.suite.digest


def test_a_larger_sample_keeps_the_items_of_the_smaller(charts: Path, tmp_path: Path) -> None:
    small = run(tmp_path / "suite", plan(charts, 10)).suite
    large = run(tmp_path / "suite", plan(charts, 30)).suite
    assert small and large and len(large.items) == 30
    assert {item.key for item in small.items} < {item.key for item in large.items}


def test_another_plan_is_refused(charts: Path, tmp_path: Path) -> None:
    run(tmp_path / "suite", plan(charts))
    with pytest.raises(
        JournalError, match=r"other settings \(seed was 0, now it is 7\).*--restart"
    ):
        run(tmp_path / "suite", plan(charts, seed=7))
    with pytest.raises(JournalError, match=r"n of ChartQA was 20, now it is 5.*--restart"):
        run(tmp_path / "suite", plan(charts, 5))


def test_a_replaced_item_that_comes_back_is_one_more(charts: Path, tmp_path: Path) -> None:
    run(tmp_path / "suite", plan(charts))
    journal = Journal(tmp_path / "suite")
    first = next(journal.drafts(State.KEPT))
    journal.decide(first.id, "drop", state=State.DROPPED, reason="ambiguous")
    assert run(tmp_path / "suite", plan(charts)).of("ChartQA", State.KEPT) == 20
    journal.undo()
    journal.close()
    assert run(tmp_path / "suite", plan(charts)).of("ChartQA", State.KEPT) == 21


# --- converters and annotators that ask somebody --------------------------------------------------


class Asked:
    """A converter that counts what it is asked, and fails as it is told."""

    name = "asked"

    def __init__(
        self, fail: dict[int, Exception] | None = None, down: set[str] | None = None
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.fail = fail or {}
        self.down = down or set()
        self.running = self.most = 0

    async def convert(self, draft: Draft, picture: bytes, pool: Pool) -> Converted | Rejected:
        assert picture and pool.metric == "exact_match"
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        error = self.fail.pop(self.calls.total(), None)
        self.calls[draft.key] += 1
        if error is not None:
            raise error
        if draft.key in self.down:
            raise Unreachable("provider x: no answer")
        if int(draft.key) % 7 == 0:
            return Rejected("a seventh")
        return Converted((draft.answers[0], "a", "b", "c"), 0, {"converter": self.name})


class Annotator:
    """Chooses the key, but for the items that it is told."""

    def __init__(self, name: str, wrong: set[str] | None = None) -> None:
        self.name = name
        self.wrong = wrong or set()
        self.calls: Counter[str] = Counter()

    async def vote(self, draft: Draft, picture: bytes) -> Vote:
        self.calls[draft.key] += 1
        return Vote(self.name, 1 if draft.key in self.wrong else draft.gold_index)


def test_what_is_rejected_is_replaced(charts: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "suite", plan(charts), converter=lambda known: Asked())
    assert report.of("ChartQA", State.KEPT) == 20
    assert report.of("ChartQA", State.REJECTED) > 0
    assert report.reasons["ChartQA", "a seventh"] == report.of("ChartQA", State.REJECTED)


def test_a_budget_that_is_spent_ends_the_build_and_the_next_goes_on(
    charts: Path, tmp_path: Path
) -> None:
    asked = Asked({8: BudgetSpent("8 calls of 8 are spent")})
    report = run(tmp_path / "suite", plan(charts), converter=lambda known: asked)
    assert report.stopped == "8 calls of 8 are spent"
    assert report.waiting > 0 and report.suite is not None
    again = run(tmp_path / "suite", plan(charts), converter=lambda known: asked)
    assert (again.stopped, again.waiting) == (None, 0)
    assert again.of("ChartQA", State.KEPT) == 20
    assert max(asked.calls.values()) == 2  # only what was under way when the budget ended
    assert asked.calls.total() - len(asked.calls) == 1


def test_an_item_without_a_reply_waits(charts: Path, tmp_path: Path) -> None:
    sample = run(tmp_path / "plain", plan(charts)).suite
    assert sample is not None
    asked = Asked(down={sample.items[0].key})
    report = run(tmp_path / "suite", plan(charts), converter=lambda known: asked)
    assert report.waiting == 1
    assert report.reasons["ChartQA", "waits: provider x: no answer"] >= 1
    asked.down.clear()
    assert run(tmp_path / "suite", plan(charts), converter=lambda known: asked).waiting == 0


def test_annotators_who_disagree_queue_the_item(charts: Path, tmp_path: Path) -> None:
    sample = {item.key for item in run(tmp_path / "plain", plan(charts)).suite.items}  # type: ignore[union-attr]
    wrong = set(sorted(sample)[:3])
    people = [Annotator("one", wrong), Annotator("two")]
    report = run(tmp_path / "suite", plan(charts), annotators=people)
    assert report.of("ChartQA", State.QUEUED) == 3
    assert report.of("ChartQA", State.KEPT) == 17
    assert "1 of 2 annotators chose B" in {reason for _, reason in report.reasons}
    run(tmp_path / "suite", plan(charts), annotators=people)
    assert {*people[0].calls.values()} == {*people[1].calls.values()} == {1}


def test_a_review_writes_the_suite_anew(charts: Path, tmp_path: Path) -> None:
    people = [Annotator("one", {str(n) for n in range(ROWS)}), Annotator("two")]
    report = run(tmp_path / "suite", plan(charts), annotators=people)
    assert report.suite is None
    with pytest.raises(JournalError, match="nothing was kept yet"):
        write_from_journal(tmp_path / "suite")
    journal = Journal(tmp_path / "suite")
    first = next(journal.drafts(State.QUEUED))
    journal.decide(first.id, "accept", state=State.KEPT)
    journal.close()
    suite = run(tmp_path / "suite", plan(charts), annotators=people).suite
    assert suite is not None and [item.key for item in suite.items] == [first.key]
    again = write_from_journal(tmp_path / "suite")
    assert again is not None and again.digest == suite.digest


def test_paired_choices_of_vmcbench(tmp_path: Path) -> None:
    charts = published.parquet(tmp_path / "c.parquet", published.CHARTQA)
    choices = published.parquet(tmp_path / "v.parquet", published.VMCBENCH)
    asked = Plan(
        "paired", (SourcePlan("vmcbench", str(choices)), SourcePlan("chartqa", str(charts)))
    )
    suite = run(tmp_path / "suite", asked).suite
    assert suite is not None
    (item,) = suite.items
    assert (item.dataset, {*item.options}) == ("ChartQA", {"3", "4", "5", "6"})
    assert item.options[item.gold_index or 0] == "4"
    assert read_provenance(tmp_path / "suite")["ChartQA", "0"]["converter"] == "given"


# --- the journal ----------------------------------------------------------------------------------


def test_decisions_are_kept_and_can_be_taken_back(charts: Path, tmp_path: Path) -> None:
    run(tmp_path / "suite", plan(charts))
    journal = Journal(tmp_path / "suite")
    before = next(journal.drafts())
    after = journal.decide(before.id, "drop", state=State.DROPPED, reason="ambiguous")
    assert (after.state, after.reason) == (State.DROPPED, "ambiguous")
    edited = journal.decide(
        before.id, "edit", state=State.KEPT, options=("1", "2", "3"), gold_index=2, question="New?"
    )
    assert (edited.options, edited.gold_index, edited.question) == (("1", "2", "3"), 2, "New?")
    assert journal.undo() == after
    assert journal.undo() == before
    assert journal.undo() is None
    journal.close()


def test_a_folder_without_a_build_and_one_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"no build.db; it is made by ctv-tui suite build"):
        Journal(tmp_path)
    (tmp_path / "build.db").write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError, match="not a database"):
        Journal(tmp_path)


# --- plans ----------------------------------------------------------------------------------------

BAD_PLANS = [
    ({}, "no \\[sources.NAME\\] table"),
    ({"sources": {"chartqa": {}}}, "has no path"),
    ({"sources": {"chart": {"path": "x"}}}, "no benchmark is called 'chart'"),
    ({"sources": {"chartqa": {"path": "x", "pth": 1}}}, "unknown 'pth'"),
    ({"sources": {"chartqa": {"path": "x", "n": 0}}}, "n is 0"),
    ({"sources": {"chartqa": {"path": "x", "open_metric": "bleu"}}}, "unknown open_metric 'bleu'"),
    ({"sources": {"chartqa": {"path": "x"}}, "options": 1}, "options is 1"),
    ({"sources": {"chartqa": {"path": "x"}}, "seed": "a"}, "seed is 'a'"),
    ({"sources": {"chartqa": {"path": "x"}}, "annotate": ["a"]}, "one annotator"),
    ({"sources": {"chartqa": {"path": "x"}}, "preset": "paper"}, "unknown preset"),
    ({"sources": {"vmcbench": {"path": "x"}}}, "add the open benchmarks"),
    ({"sorces": {}}, "unknown 'sorces'"),
    ({"sources": 3}, "sources is 3; it must be a table"),
    ({"sources": {"chartqa": 3}}, "must be a table with a path"),
    ({"sources": {"chartqa": {"path": 3}}}, "sources.chartqa.path is 3; it must be a text"),
    ({"sources": {"chartqa": {"path": "x", "n": True}}}, "n is True; it must be a whole number"),
    ({"sources": {"chartqa": {"path": "x", "n": 2.5}}}, "n is 2.5; it must be a whole number"),
    ({"sources": {"chartqa": {"path": "x", "columns": {"a": 1}}}}, "columns.a is 1"),
    ({"sources": {"chartqa": {"path": "x", "max_new_tokens": 0}}}, "max_new_tokens is 0"),
    ({"sources": {"chartqa": {"path": "x", "dataset": "macro"}}}, "'macro' is reserved"),
    ({"sources": {"chartqa": {"path": "x"}}, "annotate": 3}, "annotate is 3"),
    ({"sources": {"chartqa": {"path": "x"}}, "annotate": ["a", 3]}, "annotate is"),
    ({"sources": {"chartqa": {"path": "x"}}, "preset": ["p"]}, "preset is"),
    ({"sources": {"chartqa": {"path": "x"}}, "kind": "gold"}, "always 'paired'"),
]


@pytest.mark.parametrize(("table", "message"), BAD_PLANS)
def test_a_plan_that_can_not_be_carried_out(table: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(table, Path())


def test_the_papers_counts_by_name() -> None:
    names = ("chartqa", "infovqa", "docvqa", "mathvista", "mmvet", "vizwiz")
    made = plan_of({"preset": "paper-2230", "sources": {n: {"path": n} for n in names}}, Path("/b"))
    assert sum(source.n or 0 for source in made.sources) == 2230
    assert made.sources[0].path == "/b/chartqa"
    assert json.dumps(made.fingerprint())


def test_rules_are_what_converts_unless_told(charts: Path) -> None:
    assert plan(charts).convert == RulesConverter.name
