"""Judging a database that no engine has, and what is known of judges afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.llm.asking import BudgetSpent, Prompt
from ctv_engine.scoring.judge import Judgement, prompt_hash
from ctv_engine.service.judge import judged_by, mixed
from ctv_engine.service.judge_later import NOT_ASKED, judge_all
from ctv_engine.store.judged import WAITS, unscored, versions_when_judged
from ctv_engine.store.rows import DatasetRow, ItemRow, PredictionRow
from ctv_engine.store.writer import Writer

STEPS = (10, 20, 30, 40)
ITEMS = 5


class Scripted:
    """Gives the score that stands in the answer; ``calls`` is its budget."""

    model = "big/m-1"

    def __init__(self, calls: int = 10**6) -> None:
        self.calls = calls

    async def ask(self, prompt: Prompt, reply: type[Any]) -> Any:
        if self.calls == 0:
            raise BudgetSpent("the budget of calls is spent")
        self.calls -= 1
        answer = prompt.text.partition("<<<answer\n")[2].partition("\n")[0]
        return Judgement(reason="", score=float(answer))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A finished run of four checkpoints, whose open answers and gold only a judge can score."""
    made = Writer(tmp_path / "run.db")
    items = made.add_suite(
        "suite",
        [DatasetRow("MMVet", "judge", ITEMS)],
        [ItemRow("MMVet", str(n), "q?", "[]", None, '["a"]', "i", f"d{n}") for n in range(ITEMS)],
    )
    run = made.open_run(
        name="run",
        checkpoint_dir="/run",
        suite_digest="suite",
        gold_digest="suite",
        config_json='{"window": 3}',
        versions_json='{"torch": "1"}',
        host="h",
    )
    worker = made.add_worker(run, "h", "cpu:0")
    for place, step in enumerate(STEPS):
        checkpoint = made.add_checkpoint(run, step, f"/run/{step}", 1.0)
        for mode in ("open", "gold"):
            evaluation = made.add_evaluation(checkpoint, mode, "queue", ITEMS)  # type: ignore[arg-type]
            made.add_results(
                [
                    PredictionRow(
                        evaluation, item, 0, worker, 0, 1, "ok", WAITS, answer=f"0.{place + n % 2}"
                    )
                    for n, item in enumerate(items.values())
                ],
                [],
            )
            made.finish_evaluation(evaluation, "done")
    yield made
    made.close()


def scores(writer: Writer) -> list[tuple[Any, ...]]:
    return writer.query("SELECT mode, step, value, n FROM trajectory WHERE metric = 'judge'")


def test_scores_and_what_depends_on_them_follow(writer: Writer) -> None:
    assert scores(writer) == []
    told: list[tuple[int, int]] = []
    found = judge_all(writer, Scripted(), [], tell=lambda *one: told.append(one))
    everything = len(STEPS) * 2 * ITEMS
    assert (found.scored, found.reasons, found.warnings) == (everything, {}, ())
    assert told[-1] == (everything, everything)
    # Of five answers two are a tenth better, so that the mean is 0.04 above the checkpoint's own.
    expected = {("open", s): (k / 10 + 0.04, ITEMS) for k, s in enumerate(STEPS)}
    assert {
        (mode, step): (pytest.approx(value), n) for mode, step, value, n in scores(writer)
    } == expected | {("gold", step): value for (_, step), value in expected.items()}
    r = writer.query(
        "SELECT r, n FROM correlations WHERE proxy = 'open' AND scope = 'macro'"
        " AND method = 'pearson' AND window = 0"
    )
    assert r == [(pytest.approx(1.0), len(STEPS))]
    versions = json.loads(writer.query("SELECT versions_json FROM runs")[0][0])
    assert versions == {"torch": "1", "judge": "big/m-1", "judge_prompt": prompt_hash()}
    assert unscored(writer) == []


def test_a_spent_budget_leaves_the_rest_as_it_was(writer: Writer) -> None:
    found = judge_all(writer, Scripted(calls=7), [], at_once=2)
    left = len(STEPS) * 2 * ITEMS - 7
    assert found.scored == 7 and sum(found.reasons.values()) == left
    assert found.reasons[NOT_ASKED] >= left - 2
    assert len(unscored(writer)) == left
    ((kept,),) = writer.query("SELECT count(*) FROM predictions WHERE reason = ?", WAITS)
    assert kept == found.reasons[NOT_ASKED]
    assert writer.query("SELECT max(n) FROM scores") == [(ITEMS,)]
    assert judge_all(writer, Scripted(), []).scored == left


def test_scores_of_another_judge_are_told_apart(writer: Writer) -> None:
    asked = ("/run", "suite", "suite")
    assert versions_when_judged(writer, *asked) is None
    judge_all(writer, Scripted(calls=7), [])
    versions = versions_when_judged(writer, *asked)
    assert judged_by(None, versions) == {"judge": "big/m-1", "judge_prompt": prompt_hash()}
    assert mixed(judged_by("big/m-1", versions)) is None
    other = Scripted()
    other.model = "small/m-2"
    (warning,) = judge_all(writer, other, []).warnings
    assert "scored by big/m-1 (prompt" in warning and "before small/m-2" in warning
    again = judged_by("big/m-3", versions_when_judged(writer, *asked))
    assert again["judges_before"].count("(prompt") == 2


ENDS = """
from ctv_engine.service.judge import Judge
from ctv_engine.store.judged import ToJudge

class Never:
    model = "a/b"
    async def ask(self, prompt, reply):
        import asyncio
        await asyncio.sleep(1e6)

judge = Judge(Never, at_once=2)
judge.ask([ToJudge(n, 1, "d", "k", "q", ("a",), "x") for n in range(5)])
assert judge.waiting == 5 and judge.take() == []
raise RuntimeError("the engine fails")
"""


def test_a_judge_keeps_no_failing_engine_alive() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and done.stderr.strip().endswith("the engine fails")
