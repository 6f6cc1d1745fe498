"""A build whose items are converted and annotated by models that answer by a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import published
import pytest
from scripted_conversion import Otherwise
from scripted_models import ScriptedModel, distractors, item_of, kind_of, rated

from ctv_engine.construction import build as building
from ctv_engine.construction.annotation import LlmAnnotator
from ctv_engine.construction.build import Build, Report
from ctv_engine.construction.journal import State
from ctv_engine.construction.llm_converter import LlmConverter
from ctv_engine.construction.plan import Plan, SourcePlan
from ctv_engine.llm.asking import Prompt, Unreachable
from ctv_engine.suite.provenance import read_provenance

ITEMS = 12
WORDS = ("oak", "elm", "fir", "ash", "yew", "box", "bay", "fig", "gum", "nut", "tea", "ivy")


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty questions with one-word answers, each with a picture."""
    rows = [
        {
            "type": "human_test",
            "question": f"Which tree is number {n}?",
            "answer": f"{WORDS[n % 12]} {n}",
            "image": published.hf(n),
        }
        for n in range(40)
    ]
    return published.parquet(tmp_path_factory.mktemp("charts") / "test.parquet", rows)


def proposing(prompt: Prompt) -> Mapping[str, Any]:
    return distractors(*(f"{kind_of(prompt)} {n}" for n in range(3)))


def voting(prompt: Prompt) -> Mapping[str, Any]:
    """Chooses the key, which is the one option that is no proposal."""
    options = item_of(prompt)["options"]
    right = next(a for a, text in options.items() if text.split()[0] in WORDS)
    return {"letter": right, "reason": "Seen."}


class House:
    """Everybody who is asked in a build, with one store of replies."""

    def __init__(self, script: Otherwise | None = None, **parts: Any) -> None:
        self.script = script or Otherwise(propose=proposing, annotate=voting)
        self.store = parts.pop("store", {})
        self.models = [
            ScriptedModel(self.script, model=f"house/{name}", store=self.store, **parts)
            for name in ("maker", "eye-1", "eye-2")
        ]

    @property
    def sent(self) -> list[tuple[str, Prompt]]:
        return [(model.model, prompt) for model in self.models for prompt in model.sent]

    def build(self, charts: Path, out: Path, n: int = ITEMS) -> Report:
        maker, *eyes = self.models
        asked = Plan(
            "mine",
            (SourcePlan("chartqa", str(charts), n),),
            convert="maker",
            annotate=("eye-1", "eye-2"),
        )
        build = Build(
            out,
            asked,
            converter=lambda known: LlmConverter(maker, maker),
            annotators=[LlmAnnotator(eye) for eye in eyes],
        )
        try:
            return build.run()
        finally:
            build.close()


def test_a_build_by_models_keeps_what_all_agree_on(charts: Path, tmp_path: Path) -> None:
    house = House()
    report = house.build(charts, tmp_path)
    assert report.suite is not None and len(report.suite.items) == ITEMS
    calls = Counter(prompt.purpose for _, prompt in house.sent)
    assert calls == {"propose": 60, "select": 12, "rate": 12, "annotate": 24}
    rows = read_provenance(tmp_path)
    assert {row["models"]["rate"] for row in rows.values()} == {"house/maker"}
    assert all(row["ratings"] == [5] for row in rows.values())


def test_what_is_rated_badly_gives_its_place_to_another_item(charts: Path, tmp_path: Path) -> None:
    def rating(prompt: Prompt) -> Mapping[str, Any]:
        number = int(item_of(prompt)["question"].split()[-1].rstrip("?"))
        return rated(5 if number % 4 else 2, "Both are trees.")

    script = Otherwise(
        propose=proposing, annotate=voting, rate=rating, refine=lambda p: distractors("no", "no")
    )
    report = House(script).build(charts, tmp_path)
    assert report.of("ChartQA", State.KEPT) == ITEMS
    assert report.of("ChartQA", State.REJECTED) > 0
    assert any("rated 2 of 5" in reason for _, reason in report.reasons)


@pytest.mark.parametrize("budget", [1, 17, 60])
def test_a_spent_budget_ends_the_build_and_the_next_repeats_no_call(
    charts: Path, tmp_path: Path, budget: int
) -> None:
    whole = House()
    expected = whole.build(charts, tmp_path / "whole").suite
    first = House(budget=budget)
    report = first.build(charts, tmp_path / "suite")
    assert report.stopped is not None and f"budget of {budget} calls is spent" in report.stopped
    assert report.waiting
    second = House(store=first.store)
    made = second.build(charts, tmp_path / "suite").suite
    assert made is not None and expected is not None and made.digest == expected.digest
    assert Counter(first.sent + second.sent) == Counter(whole.sent)


class Killed(BaseException):
    """Ends everything at once, as the end of the process does."""


@pytest.mark.parametrize("calls", [3, 50, 90])
def test_a_killed_build_goes_on_and_repeats_no_call(
    charts: Path, tmp_path: Path, calls: int
) -> None:
    whole = House()
    expected = whole.build(charts, tmp_path / "whole").suite
    first = House()
    left = iter(range(calls))

    def dying(prompt: Prompt) -> Mapping[str, Any] | Exception:
        if next(left, None) is None:
            raise Killed
        return House().script(prompt)

    for model in first.models:
        model.script = dying
    with pytest.raises((Killed, BaseExceptionGroup)):
        first.build(charts, tmp_path / "suite")
    second = House(store=first.store)
    made = second.build(charts, tmp_path / "suite").suite
    assert made is not None and expected is not None and made.digest == expected.digest
    assert len(first.store) == len(whole.store)
    answered = len(whole.sent) - len(second.sent)
    assert answered == calls


def test_a_provider_that_goes_down_in_the_middle_ends_the_build(
    charts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "AT_ONCE", 2)
    whole = House()
    expected = whole.build(charts, tmp_path / "whole").suite
    first = House()
    maker = first.models[0]
    answering = maker.script

    def going_down(prompt: Prompt) -> Mapping[str, Any] | Exception:
        down = len(maker.sent) > 20
        return Unreachable("house/maker: connection refused") if down else answering(prompt)

    maker.script = going_down
    report = first.build(charts, tmp_path / "suite")
    assert report.stopped is not None
    assert report.stopped.startswith("8 items in a row without a reply: house/maker: connection")
    assert report.waiting == ITEMS
    answered = len(first.store)
    second = House(store=first.store)
    made = second.build(charts, tmp_path / "suite").suite
    assert made is not None and expected is not None and made.digest == expected.digest
    assert len(second.sent) == len(whole.sent) - answered


def test_one_annotator_that_is_down_does_not_keep_the_other_from_voting(
    charts: Path, tmp_path: Path
) -> None:
    first = House()
    first.models[1].script = lambda prompt: Unreachable("house/eye-1: down")
    report = first.build(charts, tmp_path, n=5)
    assert report.of("ChartQA", State.CONVERTED) == report.waiting == 5
    assert len(first.models[2].sent) == 5
    second = House(store=first.store)
    assert second.build(charts, tmp_path, n=5).of("ChartQA", State.KEPT) == 5
    assert [model for model, _ in second.sent] == ["house/eye-1"] * 5
