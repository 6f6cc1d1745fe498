"""Debiased scores of stored answers, against the same formulas written out in plain Python."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ctv_engine.service.debiasing import (
    METRIC,
    PRIOR_LEAST,
    Debiasing,
    other_method_before,
    rotated_items,
)
from ctv_engine.settings import Debias
from ctv_engine.store.rows import DatasetRow, ItemRow, PredictionRow, RotationRow
from ctv_engine.store.writer import Writer
from ctv_engine.suite import Item

BIAS = (1.4, 0.3, -0.2, -0.9, -0.9)
SIZES = {"chart": 4, "info": 3}
"""Options of each dataset's items; every fifth item has one more."""
ITEMS = 40


@dataclass
class Asked:
    """An item and a model that prefers early letters to what it thinks of the options."""

    dataset: str
    image: str
    gold: int
    thinks: list[float]
    item_id: int = 0
    prefers: tuple[float, ...] = BIAS

    def logprobs(self, permutation: int) -> list[float]:
        n = len(self.thinks)
        raw = [self.thinks[(i + permutation) % n] + self.prefers[i] for i in range(n)]
        total = math.log(sum(map(math.exp, raw))) + 0.3  # some mass is on no letter
        return [value - total for value in raw]


@dataclass
class Run:
    """A closed evaluation of a model with a known bias."""

    writer: Writer
    evaluation: int
    run_id: int
    worker: int
    asked: list[Asked] = field(default_factory=list)

    def answer(self, part: slice, *, rotated: int = 0) -> None:
        """Store answers; of the first ``rotated`` items with all rotations."""
        rows, rotations = [], []
        for number in range(*part.indices(len(self.asked))):
            one = self.asked[number]
            own = one.logprobs(0)
            right = own.index(max(own)) == one.gold
            rows.append(
                PredictionRow(
                    self.evaluation,
                    one.item_id,
                    0,
                    self.worker,
                    0,
                    1,
                    "ok",
                    score=float(right),
                    correct=int(right),
                    gold_prob=0.5,
                    option_logprobs_json=json.dumps(own),
                )
            )
            for turn in range(1, len(own)) if number < rotated else ():
                text = json.dumps(one.logprobs(turn))
                rotations.append(RotationRow(self.evaluation, one.item_id, turn, text))
        self.writer.add_results(rows, [], None, rotations)

    def scores(self, metric: str = METRIC) -> dict[str, tuple[float, float | None, int]]:
        query = "SELECT dataset, value, stderr, n FROM scores WHERE metric = ?"
        return {row[0]: row[1:] for row in self.writer.query(query, metric)}

    def expected(self, answers: dict[int, int]) -> dict[str, tuple[float, float, int]]:
        """Return value, clustered error and n by dataset from the answers by place."""
        found = {}
        for dataset in SIZES:
            rows = [(n, a) for n, a in answers.items() if self.asked[n].dataset == dataset]
            right = [(self.asked[n].image, float(a == self.asked[n].gold)) for n, a in rows]
            mean = sum(value for _, value in right) / len(right)
            residuals: dict[str, float] = defaultdict(float)
            for image, value in right:
                residuals[image] += value - mean
            groups = len(residuals)
            square = sum(value**2 for value in residuals.values()) * groups / (groups - 1)
            found[dataset] = (mean, math.sqrt(square) / len(right), len(right))
        parts = list(found.values())
        error = math.sqrt(sum(e * e for _, e, _ in parts)) / len(parts)
        mean = sum(m for m, _, _ in parts) / len(parts)
        return {**found, "macro": (mean, error, sum(n for _, _, n in parts))}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    writer = Writer(tmp_path / "run.db")
    rng = random.Random(7)
    asked = []
    for number in range(2 * ITEMS):
        dataset = ("chart", "info")[number % 2]
        n = SIZES[dataset] + (number % 5 == 0)
        thinks = [rng.gauss(0, 1.0) for _ in range(n)]
        gold = thinks.index(max(thinks)) if rng.random() < 0.8 else rng.randrange(n)
        asked.append(Asked(dataset, f"picture-{number // 6}", gold, thinks))
    rows = [
        ItemRow(a.dataset, f"{n:03}", "q?", json.dumps([*"abcde"][: len(a.thinks)]), a.gold,
                "[]", "i.png", a.image)
        for n, a in enumerate(asked)
    ]  # fmt: skip
    ids = writer.add_suite("s", [DatasetRow(name, "anls", ITEMS) for name in SIZES], rows)
    for number, one in enumerate(asked):
        one.item_id = ids[one.dataset, f"{number:03}"]
    run_id = writer.open_run(
        name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=None,
        config_json="{}", versions_json="{}", host="h",
    )  # fmt: skip
    checkpoint = writer.add_checkpoint(run_id, 1, "/r/c-1", 1.0)
    evaluation = writer.add_evaluation(checkpoint, "closed", "queue", len(asked))
    yield Run(writer, evaluation, run_id, writer.add_worker(run_id, "h", "cpu:0"), asked)
    writer.close()


def probabilities(logprobs: list[float]) -> list[float]:
    total = sum(map(math.exp, logprobs))
    return [math.exp(value) / total for value in logprobs]


def best(values: list[float]) -> int:
    return values.index(max(values))


def averaged(one: Asked) -> int:
    """Return the option with the largest mean probability over all orders."""
    n = len(one.thinks)
    by_turn = [probabilities(one.logprobs(turn)) for turn in range(n)]
    return best(
        [sum(by_turn[turn][(option - turn) % n] for turn in range(n)) for option in range(n)]
    )


def divided(one: Asked, known: list[Asked]) -> int | None:
    """Return the best option once divided by the prior of the known items with as many."""
    n = len(one.thinks)
    priors = []
    for other in known:
        if len(other.thinks) == n:
            turns = [other.logprobs(turn) for turn in range(n)]
            priors.append(probabilities([sum(t[i] for t in turns) / n for i in range(n)]))
    if not priors:
        return None
    prior = [sum(p[i] for p in priors) / len(priors) for i in range(n)]
    return best([p / q for p, q in zip(probabilities(one.logprobs(0)), prior, strict=True)])


def calibrated(one: Asked, alike: list[Asked]) -> int:
    """Return the best option once divided by the mean probability of its letter."""
    every = [probabilities(other.logprobs(0)) for other in alike]
    n = len(one.thinks)
    prior = [sum(p[i] for p in every) / len(every) for i in range(n)]
    return best([p / q for p, q in zip(probabilities(one.logprobs(0)), prior, strict=True)])


ROTATED: dict[Debias, int] = {"cyclic": 2 * ITEMS, "pride": 13, "batch": 0}


@pytest.mark.parametrize("method", list(ROTATED))
def test_scores_follow_the_formula_and_take_the_bias_out(run: Run, method: Debias) -> None:
    asked, rotated = run.asked, ROTATED[method]
    debiasing = Debiasing(run.writer, method)
    run.answer(slice(0, 30), rotated=rotated)
    debiasing.refresh(run.evaluation)
    run.answer(slice(30, None), rotated=rotated)
    debiasing.refresh(run.evaluation)
    run.writer.refresh_scores(run.evaluation)
    answers: dict[int, int] = {}
    for number, one in enumerate(asked):
        if method == "cyclic" or number < rotated:
            answers[number] = averaged(one)
        elif method == "batch":
            alike = [
                a for a in asked if (a.dataset, len(a.thinks)) == (one.dataset, len(one.thinks))
            ]
            answers[number] = calibrated(one, alike)
        elif (answer := divided(one, asked[:rotated])) is not None:
            answers[number] = answer
    wanted = run.expected(answers)
    found = run.scores()
    assert found.keys() == wanted.keys()
    for dataset, values in wanted.items():
        assert found[dataset] == pytest.approx(values, abs=1e-12), dataset
    assert wanted["macro"][2] == 2 * ITEMS
    plain = run.scores("accuracy")["macro"][0]
    assert found["macro"][0] > plain + 0.1, "the preference for A cost this model a lot"
    before = run.writer.query("SELECT * FROM scores ORDER BY id")
    debiasing.refresh(run.evaluation)
    assert run.writer.query("SELECT * FROM scores ORDER BY id") == before, "nothing is new"


def unsure(run: Run) -> list[Asked]:
    """Let the preference for letters differ from item to item."""
    rng = random.Random(3)
    for one in run.asked:
        one.prefers = tuple(value + rng.gauss(0, 1.5) for value in BIAS)
    return run.asked


def test_what_few_items_leave_open_of_the_prior_is_in_the_error(run: Run) -> None:
    asked, rotated = unsure(run), ROTATED["pride"]
    run.answer(slice(None), rotated=rotated)
    Debiasing(run.writer, "pride").refresh(run.evaluation)
    found = run.scores()
    right: dict[str, list[list[bool]]] = {name: [] for name in SIZES}
    answers = {n: averaged(one) for n, one in enumerate(asked) if n < rotated}
    for n, one in enumerate(asked[rotated:], start=rotated):
        if (answer := divided(one, asked[:rotated])) is not None:
            answers[n] = answer
    rng = random.Random(5)
    pictures = sorted({one.image for one in asked[:rotated]})
    for _ in range(400):
        drawn = [
            one
            for picture in rng.choices(pictures, k=len(pictures))
            for one in asked[:rotated]
            if one.image == picture
        ]
        again: dict[str, list[bool]] = {name: [] for name in SIZES}
        for n, one in enumerate(asked):
            if n in answers:
                answer = answers[n] if n < rotated else divided(one, drawn)
                again[one.dataset].append((answers[n] if answer is None else answer) == one.gold)
        for name, values in again.items():
            right[name].append(values)
    plain = run.expected(answers)
    means = {name: [sum(r) / len(r) for r in rows] for name, rows in right.items()}
    means["macro"] = [sum(pair) / 2 for pair in zip(means["chart"], means["info"], strict=True)]
    for name, (value, error, n) in plain.items():
        widened = math.hypot(error, statistics.stdev(means[name]))
        assert found[name][0] == pytest.approx(value) and found[name][2] == n
        assert found[name][1] == pytest.approx(widened, rel=0.08), name
    assert found["chart"][1] > 1.15 * plain["chart"][1], "here the prior is worth looking at"


def test_a_prior_of_one_picture_has_no_error_to_give(run: Run) -> None:
    unsure(run)
    run.answer(slice(None), rotated=6)  # six items about the first picture
    Debiasing(run.writer, "pride").refresh(run.evaluation)
    assert {error for _, error, _ in run.scores().values()} == {None}


def test_the_plain_rows_are_those_of_a_run_without_debiasing(run: Run) -> None:
    run.answer(slice(None), rotated=20)
    run.writer.refresh_scores(run.evaluation)
    plain = run.writer.query("SELECT * FROM scores ORDER BY id")
    Debiasing(run.writer, "none").refresh(run.evaluation)
    assert run.writer.query("SELECT * FROM scores ORDER BY id") == plain
    Debiasing(run.writer, "pride").refresh(run.evaluation)
    run.writer.refresh_scores(run.evaluation)
    kept = "SELECT * FROM scores WHERE metric <> ? ORDER BY id"
    assert run.writer.query(kept, METRIC) == plain
    counts = "SELECT done, failed, (SELECT count(*) FROM predictions) FROM evaluations"
    assert run.writer.query(counts) == [(2 * ITEMS, 0, 2 * ITEMS)]


def test_an_item_whose_rotations_are_not_whole_is_not_averaged(run: Run) -> None:
    run.answer(slice(None), rotated=20)
    run.writer.connection.execute(
        "UPDATE rotations SET option_logprobs_json = NULL, reason = 'NaN' WHERE id IN (1, 2)"
    )
    run.writer.connection.execute(
        "DELETE FROM rotations WHERE item_id = ?", (run.asked[7].item_id,)
    )
    Debiasing(run.writer, "cyclic").refresh(run.evaluation)
    wanted = run.expected({n: averaged(run.asked[n]) for n in range(20) if n not in (0, 7)})
    assert run.scores()["macro"] == pytest.approx(wanted["macro"])
    assert run.scores()["macro"][2] == 18


def test_answers_that_come_twice_count_once(run: Run) -> None:
    tables = (
        "SELECT done, (SELECT count(*) FROM predictions), (SELECT count(*) FROM rotations)"
        " FROM evaluations"
    )
    run.answer(slice(0, 20), rotated=20)
    before = run.writer.query(tables)
    run.answer(slice(0, 20), rotated=20)
    assert run.writer.query(tables) == before
    assert before[0][:2] == (20, 20) and before[0][2] > 40


def test_one_item_is_not_calibrated_with_itself(run: Run) -> None:
    run.answer(slice(0, 1))
    Debiasing(run.writer, "batch").refresh(run.evaluation)
    assert run.scores() == {}


def test_batch_is_made_up_for_when_it_is_asked_for_later(run: Run) -> None:
    run.answer(slice(None))
    run.writer.finish_evaluation(run.evaluation, "done")
    for method in ("cyclic", "pride", "none"):
        Debiasing(run.writer, method).catch_up(run.run_id)  # type: ignore[arg-type]
    assert run.scores() == {}, "those need more forwards"
    Debiasing(run.writer, "batch").catch_up(run.run_id)
    assert run.scores()["macro"][2] == 2 * ITEMS


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [("cyclic", "batch", True), ("cyclic", "cyclic", False), ("none", "cyclic", False),
     ("cyclic", "none", False)],
)  # fmt: skip
def test_a_change_of_method_is_told(run: Run, before: str, after: Debias, told: bool) -> None:
    run.answer(slice(0, 20))
    run.writer.connection.execute("UPDATE runs SET config_json = ?", (f'{{"debias": "{before}"}}',))
    assert other_method_before(run.writer, after, "/r", "s", None) is None, "no scores yet"
    Debiasing(run.writer, "batch").refresh(run.evaluation)
    text = other_method_before(run.writer, after, "/r", "s", None)
    assert bool(text) == told
    if text:
        assert "by cyclic up to here and by batch from now on" in text


# --- which items are asked in all rotations -----------------------------------------------------


def items(count: int, options: int, dataset: str = "d") -> list[Item]:
    names = tuple("abcdefgh"[:options])
    key = 0 if options else None
    return [Item(dataset, f"{n}", "q", "i", "x", names, key, ("a",)) for n in range(count)]


def test_pride_asks_a_share_and_some_of_every_number_of_options() -> None:
    suite = [*items(1000, 4, "big"), *items(40, 2, "pairs"), *items(3, 5, "few")]
    chosen = rotated_items([*suite, *items(50, 0, "open")], "pride")
    counts = {name: sum(d == name for d, _ in chosen) for name in ("big", "pairs", "few", "open")}
    assert counts == {"big": 50, "pairs": PRIOR_LEAST, "few": 3, "open": 0}
    assert rotated_items(suite[::-1], "pride") == chosen, "names alone decide"
    tens = [
        sum(100 * n <= int(k) < 100 * n + 100 for d, k in chosen if d == "big") for n in range(10)
    ]
    assert max(tens) < 15, "spread over the suite"


@pytest.mark.parametrize(("method", "count"), [("none", 0), ("batch", 0), ("cyclic", 7)])
def test_the_other_methods_ask_all_or_nothing(method: Debias, count: int) -> None:
    assert len(rotated_items([*items(7, 4), *items(9, 0, "open")], method)) == count
