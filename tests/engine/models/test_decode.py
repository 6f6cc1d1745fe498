"""The decode loop, on a model whose every token is known beforehand, and on a real one."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asking
import pytest
import torch
from asking import loaded, prove, words
from transformers import DynamicCache

from ctv_engine.models import decode as decode_module
from ctv_engine.models.answers import OpenAnswer
from ctv_engine.models.decode import Answer, Group, StopRules, decode, is_loop
from ctv_engine.models.forward import Rows
from ctv_engine.models.trace import Trace
from ctv_engine.suite import Suite

torch.set_num_threads(1)

END, WORDS = 0, 50
NAN = -1
"""In a script: the model returns NaN instead of a token."""


# --- loops --------------------------------------------------------------------------------------

LOOPS: list[tuple[str, list[int], bool]] = [
    ("nothing", [], False),
    ("31 times the same", [7] * 31, False),
    ("32 times the same", [7] * 32, True),
    ("after something else", [*range(40), *[7] * 32], True),
    ("broken off just now", [*[7] * 40, 8], False),
    ("one other in the last 32", [*[7] * 20, 8, *[7] * 31], False),
    ("two in turn, 32 tokens", [1, 2] * 16, True),
    ("two in turn, 31 tokens", [2, *[1, 2] * 15], False),
    ("three in turn, 33 tokens", [1, 2, 3] * 11, True),
    ("eight in turn, four times", [*range(8)] * 4, True),
    ("eight in turn, almost four times", [*range(8)] * 4 + [0, 1, 2], True),
    ("nine in turn, 35 tokens", ([*range(9)] * 4)[1:], False),
    ("nine in turn, four times", [*range(9)] * 4, True),
    ("sixteen in turn, 63 tokens", ([*range(16)] * 4)[1:], False),
    ("sixteen in turn, four times", [*range(16)] * 4, True),
    ("sixteen in turn, begun anywhere", ([*range(16)] * 5)[5:-3], True),
    ("seventeen in turn, ten times", [*range(17)] * 10, False),
    ("counting", [*range(200)], False),
    ("a list with equal beginnings", [v for n in range(60) for v in (1, 2, 3 + n)], False),
]


@pytest.mark.parametrize(("tokens", "loops"), [row[1:] for row in LOOPS], ids=[r[0] for r in LOOPS])
def test_what_counts_as_a_loop(tokens: list[int], loops: bool) -> None:
    assert is_loop(tokens) is loops


@pytest.mark.parametrize(
    ("tokens", "cap", "reason"),
    [
        ([5, END], 9, "stop"),
        ([5, END], 2, "stop"),  # an end at the cap is an end
        ([5, 6], 2, "length"),
        ([5, 6], 3, None),
        ([7] * 32, 99, "repeat"),
        ([7] * 32, 32, "length"),
        ([5, 9], 9, "stop"),  # a stop string
        ([END, 5], 9, None),  # only the last token counts
    ],
)
def test_why_an_answer_ends(tokens: list[int], cap: int, reason: str | None) -> None:
    rules = StopRules(frozenset([END]), lambda tokens: tokens[-1] == 9)
    assert rules.reason(tokens, cap) == reason


# --- a model whose every token is known ---------------------------------------------------------


@dataclass
class Scripted:
    """Continues each row with its script. Which row it is, and how far, is read from the cache.

    A row's keys hold its number, its values the tokens that were put in; so a row that is mixed up,
    misplaced or padded wrongly answers with another row's script or out of turn.
    """

    scripts: dict[int, list[int]]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    heights: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    prefills: list[tuple[int, ...]] = field(default_factory=list)
    live_at_prefill: list[int] = field(default_factory=list)

    def group(self, indices: Sequence[int], prompts: Sequence[int], caps: Sequence[int]) -> Group:
        """Return rows with prompts of so many tokens, padded on the left to the longest."""

        def prefill() -> tuple[torch.Tensor, Rows]:
            width = max(prompts)
            mask = torch.tensor([[0] * (width - n) + [1] * n for n in prompts])
            cache = DynamicCache()
            names = torch.tensor(indices, dtype=torch.float32).view(-1, 1, 1, 1)
            cache.update(names.expand(-1, 1, width, 1), -torch.ones(len(indices), 1, width, 1), 0)
            self.prefills.append(tuple(indices))
            rows = Rows(cache, mask, mask.sum(-1, keepdim=True))
            return self._next(rows), rows

        share = 1 / len(indices)
        return Group(tuple(indices), tuple(caps), (share,) * len(indices), prefill)

    def extend(self, rows: Rows, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert ids.shape == mask.shape == (len(rows), 1)
        self.heights.append(len(rows))
        self.widths.append(rows.mask.shape[1])
        layer = rows.cache.layers[0]
        names = layer.keys[:, :, -1:, :]
        rows.cache.update(names, ids.view(-1, 1, 1, 1).float(), 0)
        rows.mask = torch.cat([rows.mask, mask], dim=1)
        assert rows.position is not None
        rows.position = rows.position + 1
        return self._next(rows)

    def _next(self, rows: Rows) -> torch.Tensor:
        layer = rows.cache.layers[0]
        assert layer.keys.shape[2] == rows.mask.shape[1]
        assert rows.position is not None
        logits = torch.zeros(len(rows), WORDS)
        for row in range(len(rows)):
            real = rows.mask[row].bool()
            names = {int(n) for n in layer.keys[row, 0, real, 0]}
            told = [int(n) for n in layer.values[row, 0, real, 0] if n >= 0]
            assert len(names) == 1, "a row has positions of another"
            assert rows.position[row].item() == int(real.sum())
            (name,) = names
            script = self.scripts[name]
            assert told == script[: len(told)], "a row was told another's tokens"
            token = script[len(told)]
            if token == NAN:
                logits[row, 3] = torch.nan
            else:
                logits[row, token] = 1.0
        return logits


def run(
    model: Scripted, groups: Sequence[Group], slots: int, has_stop: Any = None
) -> tuple[dict[int, Answer], Trace]:
    trace = Trace()
    rules = StopRules(frozenset([END]), has_stop)
    return decode(model, groups, slots, rules, trace), trace  # type: ignore[arg-type]


def told(answers: dict[int, Answer]) -> dict[int, tuple[list[int], str]]:
    return {index: (a.tokens, a.finish_reason) for index, a in answers.items()}


def test_each_row_ends_for_its_own_reason() -> None:
    model = Scripted(
        {
            0: [5, 6, END],
            1: [5, 6, 7, 8, 9, 10],
            2: [END],
            3: [4] * 60,
            4: [11, 12, 9, 13],
            5: [*range(10, 40)] * 2,
        }
    )
    groups = [model.group(range(6), [3, 5, 1, 4, 2, 5], [10, 4, 10, 50, 10, 1])]
    answers, _ = run(model, groups, 6, has_stop=lambda tokens: tokens[-2:] == [12, 9])
    assert told(answers) == {
        0: ([5, 6, END], "stop"),
        1: ([5, 6, 7, 8], "length"),
        2: ([END], "stop"),
        3: ([4] * 32, "repeat"),
        4: ([11, 12, 9], "stop"),
        5: ([10], "length"),
    }


def random_work(seed: int) -> tuple[Scripted, list[Group], dict[int, list[int]]]:
    rng = random.Random(seed)
    scripts, wanted = {}, {}
    for index in range(23):
        length, cap = rng.randrange(1, 20), rng.randrange(1, 16)
        scripts[index] = [rng.randrange(1, WORDS) for _ in range(length - 1)] + [END, END]
        wanted[index] = scripts[index][: min(length, cap)]
        scripts[index] += [0] * 20
    model = Scripted(scripts)
    groups, start = [], 0
    while start < 23:
        size = min(rng.randrange(1, 6), 23 - start)
        indices = range(start, start + size)
        caps = [len(wanted[i]) if wanted[i][-1] != END else 16 for i in indices]
        groups.append(model.group(indices, [rng.randrange(1, 30) for _ in indices], caps))
        start += size
    return model, groups, wanted


@pytest.mark.parametrize("slots", [1, 2, 5, 8, 64])
@pytest.mark.parametrize("seed", range(6))
def test_rows_come_and_go_and_every_answer_is_its_own(seed: int, slots: int) -> None:
    model, groups, wanted = random_work(seed)
    answers, _ = run(model, groups, slots)
    assert {index: answer.tokens for index, answer in answers.items()} == wanted
    assert all(answer.fault is None for answer in answers.values())
    assert sum(model.heights) == sum(len(tokens) - 1 for tokens in wanted.values())
    most = max(slots, *(len(group.indices) for group in groups))
    assert max(model.heights) <= most
    assert model.prefills == [group.indices for group in groups], "in order, each once"


def test_free_slots_are_filled_at_once_and_never_exceeded() -> None:
    lengths = [9, 3, 3, 3, 6, 2]
    model = Scripted({n: [1 + n] * (length - 1) + [END] for n, length in enumerate(lengths)})
    groups = [model.group([n], [4], [20]) for n in range(6)]
    run(model, groups, slots=2)
    # Beside the eight steps of row 0 run 1, 2, 3 (two each) and two of row 4, then row 5.
    assert model.heights == [2] * 8 + [2] + [1] * 2


def test_a_group_waits_until_all_of_it_fits() -> None:
    model = Scripted({n: [1] * n + [END] for n in range(8)})
    groups = [model.group([5, 6, 7], [3] * 3, [20] * 3), model.group([3, 4], [3] * 2, [20] * 2)]
    run(model, groups, slots=4)
    # 5, 6 and 7 have 5, 6 and 7 steps; beside the last two there is room for two.
    assert model.heights == [3] * 5 + [4, 3, 2, 1]


def test_a_group_larger_than_the_slots_runs_alone() -> None:
    model = Scripted({n: [1] * (1 + n) + [END] for n in range(5)})
    groups = [model.group([4], [3], [9]), model.group([0, 1, 2, 3], [3] * 4, [9] * 4)]
    run(model, groups, slots=2)
    assert model.heights == [1] * 5 + [4, 3, 2, 1]


def test_padding_of_rows_that_left_leaves_with_them() -> None:
    model = Scripted({0: [1, END], 1: [1] * 6 + [END]})
    run(model, [model.group([0, 1], [30, 3], [20, 20])], slots=2)
    # The second row's mask is 30 wide beside the first; alone it is as wide as its own tokens.
    assert model.widths == [30, 4, 5, 6, 7, 8]


def test_a_cache_that_can_not_be_merged_waits_for_its_predecessor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode_module, "is_forkable", lambda cache: False)
    model = Scripted({n: [1] * (1 + n) + [END] for n in range(4)})
    groups = [model.group([0, 3], [3, 3], [9, 9]), model.group([1, 2], [5, 4], [9, 9])]
    answers, _ = run(model, groups, slots=8)
    assert [len(answers[n].tokens) for n in range(4)] == [2, 3, 4, 5]
    assert model.heights == [2, 1, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_row_with_nan_costs_itself_alone(place: int) -> None:
    scripts = {n: [5 + n, 6 + n, 7 + n, 8 + n, END] for n in range(3)}
    scripts[1] = [*scripts[1][:place], NAN, END]
    model = Scripted(scripts)
    groups = [model.group([0, 1], [3, 5], [9, 9]), model.group([2], [4], [9])]
    answers, _ = run(model, groups, slots=2)
    assert answers[1].fault == "the model returned NaN or infinite logits"
    for row in (0, 2):
        assert (answers[row].tokens, answers[row].fault) == (scripts[row], None)
    assert sum(model.heights) == 4 + 4 + place


def test_nothing_to_do() -> None:
    answers, trace = run(Scripted({}), [], 4)
    assert (answers, trace.spans) == ({}, [])


def test_seconds_are_booked_to_the_rows_that_spent_them() -> None:
    model, groups, wanted = random_work(1)
    spent: list[float] = []
    groups = [
        Group(g.indices, g.caps, tuple(0.5 * s for s in g.shares), g.prefill, spent.append)
        for g in groups
    ]
    answers, trace = run(model, groups, 5)
    assert sum(spent) == pytest.approx(trace.seconds("prefill"), abs=1e-6)
    half = sum(answer.prefill_s for answer in answers.values())
    assert half == pytest.approx(trace.seconds("prefill") / 2, abs=1e-6), "the rest is others'"
    steps = sum(answer.decode_s for answer in answers.values())
    assert steps == pytest.approx(trace.seconds("decode"), abs=1e-6)
    assert all((answers[n].decode_s > 0) == (len(wanted[n]) > 1) for n in wanted)
    ends = [at for span in trace.spans for at in (span.started_at, span.ended_at)]
    assert ends == sorted(ends), "no two spans overlap"


# --- a real model -------------------------------------------------------------------------------


def edited(checkpoint: Path, home: Path, **changes: Any) -> Path:
    directory = Path(shutil.copytree(checkpoint, home / "edited"))
    path = directory / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return directory


def answered(directory: Path, suite: Suite, cap: int, stepwise: bool) -> list[OpenAnswer]:
    opened = asking.open_questions(suite, cap)
    adapter = loaded(directory, slots=5)
    assert prove(adapter, asking.probe_of(asking.closed_questions(suite), opened)) == []
    adapter.abilities.stepwise = stepwise
    answers = asking.opened(adapter, opened, 3)
    words(answers)
    return [answer for answer in answers if isinstance(answer, OpenAnswer)]


@pytest.mark.parametrize("stepwise", [True, False])
def test_stop_strings_of_the_checkpoint(
    checkpoints: list[Path], suite: Suite, tmp_path: Path, stepwise: bool
) -> None:
    free = answered(checkpoints[0], suite, 8, stepwise)
    text = free[0].text
    stop = text[3:5]
    wanted = [answer.text.partition(stop)[0].strip() for answer in free]
    assert 0 < sum(answer.text != short for answer, short in zip(free, wanted, strict=True)) < 24
    directory = edited(checkpoints[0], tmp_path, stop_strings=[stop, "never said"])
    found = answered(directory, suite, 8, stepwise)
    assert [answer.text for answer in found] == wanted
    for before, after in zip(free, found, strict=True):
        cut = stop in before.text
        assert after.finish_reason == ("stop" if cut else before.finish_reason)
        assert (after.output_tokens < before.output_tokens) <= cut


@pytest.mark.parametrize("stepwise", [True, False])
def test_a_stop_string_that_is_a_special_token(
    checkpoints: list[Path], suite: Suite, tmp_path: Path, stepwise: bool
) -> None:
    """It is found among the tokens, but not in the text, which has no special tokens."""
    directory = edited(checkpoints[0], tmp_path, stop_strings="<|im_end|>", eos_token_id=399)
    adapter = loaded(directory)
    adapter.abilities.stepwise = stepwise

    def say_it_second(_: Any, __: Any, inputs: dict[str, Any], output: Any) -> None:
        if inputs["input_ids"].shape[1] == 1:
            output.logits[..., 2] = 1e4

    opened = asking.open_questions(suite, 8)[:3]
    first = asking.opened(adapter, asking.with_cap(opened, 1), 1)
    adapter.model.register_forward_hook(say_it_second, with_kwargs=True)
    found = asking.opened(adapter, opened, 1)
    for answer, begins in zip(found, first, strict=True):
        assert isinstance(answer, OpenAnswer) and isinstance(begins, OpenAnswer)
        assert (answer.finish_reason, answer.output_tokens) == ("stop", 2)
        assert answer.text == begins.text


@pytest.mark.parametrize("stepwise", [True, False])
def test_an_answer_that_goes_round_in_circles_is_ended(
    checkpoints: list[Path], suite: Suite, tmp_path: Path, stepwise: bool
) -> None:
    directory = edited(checkpoints[0], tmp_path, eos_token_id=399)
    reasons = {
        (answer.finish_reason, answer.output_tokens)
        for answer in answered(directory, suite, 120, stepwise)
    }
    assert {reason for reason, _ in reasons} <= {"repeat", "length"}
    repeats = [tokens for reason, tokens in reasons if reason == "repeat"]
    assert repeats and all(32 <= tokens < 120 for tokens in repeats)
    assert all(tokens == 120 for reason, tokens in reasons if reason == "length")


def test_caps_are_each_rows_own(checkpoints: list[Path], suite: Suite, tmp_path: Path) -> None:
    directory = edited(checkpoints[0], tmp_path, eos_token_id=399)
    opened = asking.open_questions(suite, 9)
    opened = [asking.with_cap([q], 1 + n % 9)[0] for n, q in enumerate(opened)]
    adapter = loaded(directory, slots=5)
    prove(adapter, asking.probe_of(asking.closed_questions(suite), opened))
    for stepwise in (True, False):
        adapter.abilities.stepwise = stepwise
        answers = words(asking.opened(adapter, opened, 4))
        assert [tokens for *_, tokens in answers] == [1 + n % 9 for n in range(len(opened))]
