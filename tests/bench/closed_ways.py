"""The closed task against what others do for it, and against the open task.

Only the model's work is timed: every way has its inputs made beforehand. All ways are run once
before that, on the very items that are timed, and must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from PIL import Image
from transformers import AutoProcessor

from bench.clock import interleaved
from bench.report import Result
from bench.stage import Name, Stage
from ctv_engine.models.answers import ClosedAnswer, OpenAnswer
from ctv_engine.models.self_check import self_check
from ctv_engine.models.trace import Trace
from ctv_engine.models.transformers_adapter import (
    Abilities,
    Chunk,
    ClosedOutcome,
    TransformersAdapter,
)
from ctv_engine.models.work import Work
from ctv_engine.runtime.answering import questions
from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.suite import LETTERS, Item, closed_text

TOLERANCE = 1e-5
"""Natural-log probability, float32."""
PLAIN = Abilities(checked=True)
"""No shortcut: one item at a time, ``generate`` for the open task."""

Logprobs = dict[Name, tuple[float, ...]]
Texts = dict[Name, str]
Found = TypeVar("Found")


@dataclass
class Ways:
    """One resident checkpoint and the ways to answer one suite with it."""

    stage: Stage

    @cached_property
    def adapter(self) -> TransformersAdapter:
        """The engine's adapter, its shortcuts proven on the items."""
        adapter = self.stage.adapter()
        probe = self.stage.whole.part(slice(1))
        notes = self_check(adapter, questions(probe, ("closed", "open")))
        assert not notes, notes
        return adapter

    # --- inputs -------------------------------------------------------------------------------

    def _lengths(self, form: str) -> dict[Name, int]:
        asked = questions(self.stage.whole, (form,))  # type: ignore[arg-type]
        lengths = self.adapter.inputs.lengths(asked)
        names = [(item.dataset, item.key) for item in self.stage.whole.items]
        return dict(zip(names, [length or 1 for length in lengths], strict=True))

    def _chunks(self, task: Task) -> list[tuple[Batch, list[Chunk]]]:
        """Return the plan of a task with its inputs."""
        lengths = self._lengths("open" if task == "open" else "closed")
        made = []
        for batch in self.stage.plan(task, lengths):
            if task == "closed":
                chunks = self.adapter.prepare(questions(batch, ("closed",)), len(batch.items))
            elif task == "open":
                chunks = self.adapter.prepare(questions(batch, ("open",)), self.adapter.refill)
            else:
                both = questions(batch, ("closed", "open"))
                chunks = self.adapter.prepare(both, 2 * self.adapter.refill, together=2)
            made.append((batch, chunks))
        return made

    @cached_property
    def closed_chunks(self) -> list[tuple[Batch, list[Chunk]]]:
        """The closed plan."""
        return self._chunks("closed")

    @cached_property
    def open_chunks(self) -> list[tuple[Batch, list[Chunk]]]:
        """The open plan."""
        return self._chunks("open")

    @cached_property
    def pair_chunks(self) -> list[tuple[Batch, list[Chunk]]]:
        """The plan of closed and open together."""
        return self._chunks("pair")

    @cached_property
    def single_chunks(self) -> list[tuple[Batch, list[Chunk]]]:
        """Open questions one by one."""
        return [(self.stage.whole, self.adapter.prepare(questions(self.stage.whole, ("open",)), 1))]

    @cached_property
    def _plain(self) -> tuple[list[int], list[tuple[Item, Any]]]:
        """Letters and inputs by nothing but the library: one item at a time, no padding."""
        processor = AutoProcessor.from_pretrained(self.stage.checkpoint())
        suite = self.stage.suite
        inputs = []
        for item in suite.items:
            content = [{"type": "image"}, {"type": "text", "text": closed_text(item)}]
            prompt = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            with Image.open(suite.image_path(item)) as image:
                made = processor(text=prompt, images=image.convert("RGB"), return_tensors="pt")
            inputs.append((item, made))
        return processor.tokenizer.convert_tokens_to_ids(list(LETTERS)), inputs

    # --- closed -------------------------------------------------------------------------------

    def by_plan(self) -> Logprobs:
        """Return option log-probabilities from the engine's frozen batches."""
        found: Logprobs = {}
        for batch, chunks in self.closed_chunks:
            for item, answer in zip(batch.items, self.adapter.closed(chunks, Trace()), strict=True):
                found[item.dataset, item.key] = _logprobs(answer)
        return found

    @torch.inference_mode()
    def option_by_option(self) -> Logprobs:
        """Append each letter to its prompt and read its log-probability from a forward of its own.

        Logits of all positions, as a harness for log-likelihoods asks for them.
        """
        letters, prompts = self._plain
        model = self.adapter.forward.model
        found: Logprobs = {}
        for item, inputs in prompts:
            row = []
            for letter in letters[: len(item.options)]:
                ids = torch.cat([inputs["input_ids"], torch.tensor([[letter]])], dim=1)
                logits = model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    pixel_values=inputs["pixel_values"],
                ).logits
                row.append(float(torch.log_softmax(logits[0, -2].float(), -1)[letter]))
            found[item.dataset, item.key] = tuple(row)
        return found

    def one_token_generated(self) -> Logprobs:
        """Have ``generate`` write one token, one item at a time, and read its scores."""
        letters, prompts = self._plain
        model = self.adapter.forward.model
        found: Logprobs = {}
        for item, inputs in prompts:
            output = model.generate(
                **inputs, max_new_tokens=1, output_logits=True, return_dict_in_generate=True
            )
            row = torch.log_softmax(output.logits[0][0].float(), -1)[letters]
            found[item.dataset, item.key] = tuple(row[: len(item.options)].tolist())
        return found

    # --- open ---------------------------------------------------------------------------------

    def open_singly(self) -> Texts:
        """Return answers that ``generate`` wrote one item at a time."""
        return self._open(self.single_chunks, PLAIN)

    def open_at_best(self) -> Texts:
        """Return answers from the decode loop: a row that ends makes room for the next."""
        return self._open(self.open_chunks, self.adapter.abilities)

    def _open(self, chunks: Sequence[tuple[Batch, list[Chunk]]], abilities: Abilities) -> Texts:
        proven, self.adapter.abilities = self.adapter.abilities, abilities
        found: Texts = {}
        try:
            for batch, own in chunks:
                answers = self.adapter.open(own, Trace())
                for item, answer in zip(batch.items, answers, strict=True):
                    assert isinstance(answer, OpenAnswer), answer
                    found[item.dataset, item.key] = f"{answer.output_tokens} tokens: {answer.text}"
        finally:
            self.adapter.abilities = proven
        return found

    # --- both ---------------------------------------------------------------------------------

    def pairs(self) -> tuple[Logprobs, Texts]:
        """Return both forms, what they have in common prefilled once."""
        logprobs: Logprobs = {}
        texts: Texts = {}
        for batch, chunks in self.pair_chunks:
            closed: dict[int, ClosedOutcome] = {}
            opened = self.adapter.pair(chunks, Trace(), closed.update)
            for place, item in enumerate(batch.items):
                answer = opened[2 * place + 1]
                assert isinstance(answer, OpenAnswer), answer
                logprobs[item.dataset, item.key] = _logprobs(closed[2 * place])
                text = f"{answer.output_tokens} tokens: {answer.text}"
                texts[item.dataset, item.key] = text
        return logprobs, texts

    def counted(self, run: Callable[[], Found]) -> tuple[Found, Work]:
        """Return what a way found, and what it made the adapter do."""
        before = self.adapter.work.copy()
        found = run()
        return found, self.adapter.work.copy().since(before)


def _logprobs(answer: ClosedOutcome) -> tuple[float, ...]:
    assert isinstance(answer, ClosedAnswer), answer
    return answer.score.option_logprobs


def must_agree(what: str, found: Logprobs, reference: Logprobs) -> float:
    """Return the largest difference of a log-probability.

    Raises:
        AssertionError: it is not below the tolerance, or an item is missing on one side.
    """
    assert found.keys() == reference.keys(), what
    worst = max(
        abs(a - b) for name in found for a, b in zip(found[name], reference[name], strict=True)
    )
    assert worst < TOLERANCE, f"{what}: option log-probabilities differ by {worst:.2g}"
    return worst


def must_say_the_same(what: str, found: Texts, reference: Texts) -> None:
    """Raise AssertionError if an answer differs in its text or its number of tokens."""
    differing = [name for name in reference if found.get(name) != reference[name]]
    assert not differing and found.keys() == reference.keys(), f"{what}: {differing}"


def spread(logprobs: Mapping[Name, tuple[float, ...]]) -> float:
    """Return how far items differ: were it nothing, agreement would prove nothing."""
    columns = zip(*logprobs.values(), strict=True)
    return min(max(column) - min(column) for column in columns)


def compare(stage: Stage, rounds: int, long_rounds: int) -> list[Result]:
    """Prove that all ways agree, then time them.

    ``long_rounds`` are those of one forward per option, the slowest way by far.
    """
    ways = Ways(stage)
    ours, closed = ways.counted(ways.by_plan)
    answers, best = ways.counted(ways.open_at_best)
    assert spread(ours) > 1000 * TOLERANCE, "the items are too much alike"
    assert len(set(answers.values())) > len(answers) // 2, "the answers are too much alike"
    worst = max(
        must_agree("one forward per option", ways.option_by_option(), ours),
        must_agree("generate", ways.one_token_generated(), ours),
    )
    (shared, texts), pairs = ways.counted(ways.pairs)
    worst = max(worst, must_agree("pairs", shared, ours))
    singly, single = ways.counted(ways.open_singly)
    must_say_the_same("open at batch 1", singly, answers)
    must_say_the_same("pairs", texts, answers)

    long = interleaved({"plan": ways.by_plan, "options": ways.option_by_option}, long_rounds)
    timed = interleaved(
        {
            "plan": ways.by_plan,
            "generate": ways.one_token_generated,
            "single": ways.open_singly,
            "best": ways.open_at_best,
            "pairs": ways.pairs,
        },
        rounds,
    )
    timed = timed.with_sum("apart", "plan", "best")
    prefilled = pairs.processed_tokens / (closed.processed_tokens + best.processed_tokens)
    config, plan = stage.config, "the closed plan"
    lengths = [int(text.split()[0]) for text in answers.values()]
    written = f"open answers of {min(lengths)} to {max(lengths)} tokens"
    return [
        Result("closed: all ways agree", config, worst, "nats", "largest difference", TOLERANCE),
        Result("closed: a forward per option", config, long.ratio("options", "plan"), "x", plan),
        Result("closed: generate 1 token", config, timed.ratio("generate", "plan"), "x", plan),
        Result("open at batch 1", config, timed.ratio("single", "plan"), "x", plan),
        Result("open at its best", config, timed.ratio("best", "plan"), "x", plan),
        Result("open at batch 1", config, single.forwards, "forwards", written),
        Result("open at its best", config, best.forwards, "forwards", written),
        Result("closed + open as pairs", config, timed.ratio("pairs", "apart"), "x",
               "closed, then open"),
        Result("closed + open as pairs", config, prefilled, "x",
               "prefilled tokens, closed then open"),
    ]  # fmt: skip
