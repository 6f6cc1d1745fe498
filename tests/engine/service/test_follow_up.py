"""What follows an evaluation, when its scores come in two parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from waiting import wait_until

from ctv_engine.service.follow_up import FollowUp
from ctv_engine.settings import Settings
from ctv_engine.store.judged import WAITS, Judged, ToJudge
from ctv_engine.store.rows import DatasetRow, ItemRow, PredictionRow
from ctv_engine.store.writer import Writer

ITEMS = 40


class Judge:
    """Answers when the test says so."""

    model = "a/b"
    waiting = 0

    def __init__(self) -> None:
        self.asked: list[ToJudge] = []
        self.said: list[Judged] = []

    def ask(self, answers: Iterable[ToJudge]) -> None:
        self.asked += answers

    def take(self) -> list[Judged]:
        said, self.said = self.said, []
        return said

    def close(self) -> None: ...


def test_a_drop_is_told_once_the_judge_has_scored_the_last_answer(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "run.db")
    items = writer.add_suite(
        "s",
        [DatasetRow("d", "judge", ITEMS)],
        [ItemRow("d", f"{n:02d}", "?", "[]", 0, '["a"]', "i", f"i{n}") for n in range(ITEMS)],
    )
    run = writer.open_run(
        name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=None, config_json="{}",
        versions_json="{}", host="h",
    )  # fmt: skip
    worker = writer.add_worker(run, "h", "cpu:0")
    judge, told = Judge(), []
    settings = Settings(db=str(writer.path), suite="s", checkpoint_dir="/r")
    suite: Any = SimpleNamespace(
        datasets=[SimpleNamespace(name="d", open_metric="judge")], items=[]
    )
    follow_up = FollowUp(
        writer, run, "r", settings, [suite], judge, None, lambda *event: told.append(event)  # type: ignore[arg-type]
    )  # fmt: skip

    def settle() -> None:
        def settled() -> bool:
            follow_up.judge()
            follow_up.write()
            return not follow_up.busy

        wait_until(settled)

    drops = []
    for step, score in ((100, 1.0), (200, 0.0)):
        checkpoint = writer.add_checkpoint(run, step, f"/r/{step}", step)
        writer.set_checkpoint(checkpoint, "ready", ready_at=float(step))
        number = writer.add_evaluation(checkpoint, "open", "queue", ITEMS)
        writer.start_evaluation(number)
        rows = [
            PredictionRow(number, item, 0, worker, 0, 1, "ok", answer="b", reason=WAITS)
            for item in items.values()
        ]
        writer.add_results(rows, [], {})
        writer.finish_evaluation(number, "done")
        follow_up.ended(number, step, "open", checkpoint)
        settle()
        waiting, judge.asked = judge.asked, []
        assert len(waiting) == ITEMS
        for part in (waiting[1:], waiting[:1]):
            drops.append([event[2] for event in told if "fell" in event[2]])
            judge.said = [Judged(asked, score, None) for asked in part]
            settle()
    assert drops == [[], [], [], []], "not while an answer waits"
    (drop,) = [event[2] for event in told if "fell" in event[2]]
    assert drop.startswith("step 200: open fell from 1.000 (step 100) to 0.000")
    follow_up.close()
    writer.close()
