"""A checkpoint behind the transformers classes: load, swap, closed prefill, open generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer, Unanswered
from ctv_engine.models.decode import Answer, Group, StopRules, decode
from ctv_engine.models.forward import Forward, ModelInputs, Rows
from ctv_engine.models.input_cache import InputCache
from ctv_engine.models.inputs import InputBuilder, Prepared, Question
from ctv_engine.models.letters import place_of_answer, resolve_letters
from ctv_engine.models.loading import (
    CheckpointError,
    load_model,
    make_greedy,
    refuse_non_finite,
    resolve_dtype,
)
from ctv_engine.models.lora import AdapterSlot, stamp_of
from ctv_engine.models.plain_generate import generate_plainly
from ctv_engine.models.prefix import (
    NotShareableError,
    Part,
    Share,
    Shared,
    find_share,
    prefill_shared,
)
from ctv_engine.models.processor_files import processor_digest, processor_source
from ctv_engine.models.processors import load_processor
from ctv_engine.models.swap import copy_weights, own_memory, same_shape
from ctv_engine.models.trace import Trace
from ctv_engine.models.work import Work
from ctv_engine.scoring.closed import LetterTokens, NonFiniteLogitsError, score_closed

ClosedOutcome = ClosedAnswer | Unanswered
OpenOutcome = OpenAnswer | Unanswered


@dataclass
class Abilities:
    """Which shortcuts are proven for the resident architecture: the self-check's to say.

    ``batch``: several prompts in one padded forward. ``share``: one prefill for what prompts about
    a picture have in common. ``stepwise``: the decode loop of our own. ``checked``: whether the
    self-check has had its say.
    """

    checked: bool = False
    batch: bool = False
    share: bool = False
    stepwise: bool = False


@dataclass(frozen=True)
class Chunk:
    """Questions that are prefilled together, with their inputs; ``places`` name them outside."""

    places: tuple[int, ...]
    questions: tuple[Question, ...]
    prepared: Prepared
    shared: Shared | None = None


@dataclass
class TransformersAdapter:
    """One device, one resident model, swapped in place from checkpoint to checkpoint.

    ``slots`` is the most rows that are decoded at once, ``refill`` the rows that are prefilled
    together into free slots.
    """

    device: torch.device
    dtype: str = "auto"
    processor_directory: Path | None = None
    cache: InputCache | None = None
    slots: int = 32
    refill: int = 8
    model: Any = None
    builder: InputBuilder | None = None
    abilities: Abilities = field(default_factory=Abilities)
    work: Work = field(default_factory=Work)
    processor_digest: str | None = None
    epoch: int = 0
    """Changes whenever inputs prepared before no longer fit what is resident."""
    notes: list[str] = field(default_factory=list)
    """What a user should know of how checkpoints are run; whoever reports them clears the list."""
    _forward: Forward | None = None
    _letters: dict[int, LetterTokens] = field(default_factory=dict)
    _eos: tuple[int, ...] = ()
    _stop_strings: tuple[str, ...] = ()
    _slot: AdapterSlot | None = None

    # --- loading ------------------------------------------------------------------------------

    def load(self, directory: Path, base: Path | None = None) -> None:
        """Make ``directory`` the resident checkpoint; an adapter's comes with its ``base`` model.

        The weights are copied into the resident model where its configuration is the same, so that
        addresses (and what hangs on them) stay; otherwise the model is replaced. Of adapters on one
        base only the adapter is read.

        Raises:
            CheckpointError: the checkpoint can't be evaluated. Nothing is resident afterwards.
        """
        try:
            self._load(directory, base)
        except BaseException:
            self.model = self._forward = None
            raise

    def _load(self, directory: Path, base: Path | None) -> None:
        if not directory.is_dir():
            raise CheckpointError(f"{directory.name} was deleted before it could be read")
        source = processor_source(directory, base, self.processor_directory)
        digest = processor_digest(source)
        if self.builder is None or digest != self.processor_digest:
            self.epoch += 1
            self.abilities = Abilities()
            loaded = load_processor(source)
            self.builder = InputBuilder(loaded.processor, self.cache, self.work)
            self.notes += [loaded.note] if loaded.note else []
            self.processor_digest = digest
            self._letters.clear()
        if base is not None:
            self._load_adapter(directory, base)
            return
        self._slot = None
        fresh = load_model(directory, resolve_dtype(self.dtype, self.device))
        refuse_non_finite(fresh, directory.name)
        self._take_ends(fresh)
        self._check_fit(fresh, directory)
        if self.model is not None and same_shape(self.model, fresh):
            copy_weights(fresh, self.model)
            self.model.generation_config = fresh.generation_config
        else:
            self._replace(own_memory(fresh.to(self.device)))

    def _load_adapter(self, directory: Path, base: Path) -> None:
        if self._slot is None or not self._slot.holds(base):
            self._slot = self.model = self._forward = None
            stamp = stamp_of(base)
            fresh = load_model(base, resolve_dtype(self.dtype, self.device))
            refuse_non_finite(fresh, base.name)
            self._slot = AdapterSlot(base, stamp, own_memory(fresh.to(self.device)))
        self._slot.put(directory)
        self._check_fit(self._slot.model, directory)
        self._take_ends(self._slot.model)
        if self.model is not self._slot.model:
            self._replace(self._slot.model)

    def _replace(self, model: Any) -> None:
        """Make another model the resident one; nothing is proven of it yet."""
        self.epoch += 1
        self.abilities = Abilities()
        self.model = model
        self._forward = Forward(model, self.work)

    def _take_ends(self, model: Any) -> None:
        """Note what ends an answer, and make the model greedy."""
        strings = model.generation_config.stop_strings or ()
        self._stop_strings = (strings,) if isinstance(strings, str) else (*strings,)
        self._eos = make_greedy(model, self.inputs.processor)

    def _check_fit(self, model: Any, directory: Path) -> None:
        rows = model.get_input_embeddings().weight.shape[0]
        top = max(self.inputs.tokenizer.get_vocab().values())
        if top >= rows:
            raise CheckpointError(
                f"{directory.name}: its tokenizer has ids up to {top}, its embedding {rows} rows:"
                " processor and model do not belong together"
            )

    @property
    def inputs(self) -> InputBuilder:
        """The resident checkpoint's processor.

        Raises:
            RuntimeError: no checkpoint is resident.
        """
        if self.builder is None:
            raise RuntimeError("no checkpoint is resident")
        return self.builder

    @property
    def forward(self) -> Forward:
        """The resident model's calls.

        Raises:
            RuntimeError: no checkpoint is resident.
        """
        if self._forward is None:
            raise RuntimeError("no checkpoint is resident")
        return self._forward

    # --- inputs -------------------------------------------------------------------------------

    def prepare(
        self,
        questions: Sequence[Question],
        rows: int,
        *,
        together: int = 1,
        work: Work | None = None,
    ) -> list[Chunk]:
        """Make the inputs of questions in chunks of up to ``rows``; touches no device.

        May run in another thread than the model, which then gives a ``work`` to count in.
        ``together`` neighbours are not divided, except that closed and open forms are apart where
        answers are not decoded from a prefill of ours.
        """
        if not self.abilities.batch:
            rows = together = 1
        rows = max(together, rows - rows % together)
        chunks = []
        for start in range(0, len(questions), rows):
            places = range(start, min(start + rows, len(questions)))
            parts: list[list[int]] = [[*places]]
            if together > 1 and not self.stepwise:
                closed = [place for place in places if questions[place].options]
                parts = [closed, [place for place in places if place not in closed]]
            chunks += [self._chunk(questions, part, work) for part in parts if part]
        return chunks

    @property
    def stepwise(self) -> bool:
        """Whether answers are decoded from a prefill of ours."""
        return self.abilities.stepwise and self.forward.decodes_stepwise

    def _chunk(
        self, questions: Sequence[Question], places: Sequence[int], work: Work | None
    ) -> Chunk:
        part = tuple(questions[place] for place in places)
        prepared = self.inputs.build(part, self.forward.context, work)
        shared = self._share(part, prepared, work) if self.abilities.share else None
        self.inputs.images.let_go()
        return Chunk(tuple(places), part, prepared, shared)

    def _share(
        self, questions: Sequence[Question], prepared: Prepared, work: Work | None
    ) -> Shared | None:
        image_token = self.forward.image_token
        if image_token is None or not self.forward.decodes_stepwise:
            return None
        share: Share | None
        try:
            share = find_share(questions, prepared, image_token)
        except NotShareableError:
            return None
        if share is None:
            return None
        kept = [questions[index] for index in prepared.kept]
        closed = tuple(row for row, question in enumerate(kept) if question.options)
        opened = tuple(row for row, question in enumerate(kept) if not question.options)
        leading = [kept[row] for row in share.leaders]
        leaders = self.inputs.build(leading, self.forward.context, work)
        return Shared(share, leaders, tuple(part for part in (closed, opened) if part))

    # --- closed -------------------------------------------------------------------------------

    def closed(self, chunks: Sequence[Chunk], trace: Trace) -> list[ClosedOutcome]:
        """Score closed questions, one prefill a chunk; answers are in the questions' order."""
        answers: dict[int, ClosedOutcome] = {}
        for chunk in chunks:
            answers |= _unanswered(chunk) | self._closed(chunk, trace)
        return [answers[place] for place in range(len(answers))]

    def _closed(self, chunk: Chunk, trace: Trace) -> dict[int, ClosedOutcome]:
        """Score a chunk of nothing but closed questions."""
        if not chunk.prepared.kept:
            return {}
        before = trace.seconds("prefill")
        with trace.span("prefill"):
            if chunk.shared is None:
                logits = self.forward.last_logits(self.on_device(chunk.prepared)).cpu()
            else:
                logits = self.prefill(chunk)[0].logits.cpu()
        spent = trace.seconds("prefill") - before
        with trace.span("score"):
            return self._score(chunk, logits, range(len(logits)), spent)

    def _score(
        self, chunk: Chunk, logits: torch.Tensor, rows: Sequence[int], spent_s: float
    ) -> dict[int, ClosedOutcome]:
        """Score rows of a chunk; each costs its share of the chunk's prompt tokens."""
        prepared = chunk.prepared
        most = max(chunk.questions[prepared.kept[row]].options for row in rows)
        letters = self._letters_after(chunk, rows[0], most)
        answers: dict[int, ClosedOutcome] = {}
        for number, row in enumerate(rows):
            question = chunk.questions[prepared.kept[row]]
            place = chunk.places[prepared.kept[row]]
            try:
                score = score_closed(logits[number], letters, question.options, question.gold_index)
            except NonFiniteLogitsError as error:
                answers[place] = Unanswered(str(error))
            else:
                share = prepared.lengths[row] / sum(prepared.lengths)
                answers[place] = ClosedAnswer(score, prepared.lengths[row], spent_s * share)
        return answers

    def _letters_after(self, chunk: Chunk, row: int, most: int) -> LetterTokens:
        if most not in self._letters:
            tokenizer = self.inputs.tokenizer
            prompt = self.inputs.render(chunk.questions[chunk.prepared.kept[row]].text)
            with self.inputs.lock:
                place = place_of_answer(tokenizer, chunk.prepared.ids(row), prompt)
                self._letters[most] = resolve_letters(tokenizer, place, most)
        return self._letters[most]

    # --- open ---------------------------------------------------------------------------------

    def open(self, chunks: Sequence[Chunk], trace: Trace) -> list[OpenOutcome]:
        """Answer open questions greedily; answers are in the questions' order."""
        answers: dict[int, OpenOutcome] = {}
        groups: list[Group] = []
        for chunk in chunks:
            answers |= _unanswered(chunk)
            if not chunk.prepared.kept:
                continue
            if self.stepwise:
                prefill = partial(self._prefill_open, chunk)
                groups.append(self._group(chunk, range(len(chunk.prepared.kept)), prefill))
            else:
                answers |= self._generate(chunk, trace)
        answers |= self._decode(groups, chunks, trace)
        return [answers[place] for place in range(len(answers))]

    def prefill(self, chunk: Chunk) -> list[Part]:
        """Prefill a chunk and keep its state: in one part, or closed and open forms apart."""
        if chunk.shared is not None:
            return prefill_shared(self.forward, self.on_device, chunk.prepared, chunk.shared)
        logits, state = self.forward.prefill(self.on_device(chunk.prepared))
        return [Part(tuple(range(len(logits))), logits, state)]

    def _prefill_open(self, chunk: Chunk) -> tuple[torch.Tensor, Rows]:
        part = self.prefill(chunk)[0]
        return part.logits, part.state

    def _group(
        self,
        chunk: Chunk,
        rows: Sequence[int],
        prefill: Callable[[], tuple[torch.Tensor, Rows]],
        after: Callable[[float], None] | None = None,
    ) -> Group:
        prepared = chunk.prepared
        indices = [prepared.kept[row] for row in rows]
        return Group(
            indices=tuple(chunk.places[index] for index in indices),
            caps=tuple(chunk.questions[index].max_new_tokens for index in indices),
            shares=tuple(prepared.lengths[row] / sum(prepared.lengths) for row in rows),
            prefill=prefill,
            after=after,
        )

    def _decode(
        self, groups: Sequence[Group], chunks: Sequence[Chunk], trace: Trace
    ) -> dict[int, OpenOutcome]:
        slots = self.slots if self.abilities.batch else 1
        done = decode(self.forward, groups, slots, self._stop_rules(), trace)
        lengths = {
            chunk.places[index]: length
            for chunk in chunks
            for index, length in zip(chunk.prepared.kept, chunk.prepared.lengths, strict=True)
        }
        with trace.span("score"):
            return {place: self._worded(answer, lengths[place]) for place, answer in done.items()}

    def _stop_rules(self) -> StopRules:
        if not self._stop_strings:
            return StopRules(frozenset(self._eos))
        return StopRules(frozenset(self._eos), lambda tokens: self._stop_at(tokens) is not None)

    def _stop_at(self, tokens: list[int]) -> int | None:
        """Return where the text of ``tokens`` has a stop string of the checkpoint, or None."""
        return self._find_stop(self.inputs.tokenizer.decode(tokens))

    def _find_stop(self, text: str) -> int | None:
        found = [text.find(stop) for stop in self._stop_strings]
        return min((place for place in found if place >= 0), default=None)

    def _worded(self, answer: Answer, prompt_tokens: int) -> OpenOutcome:
        if answer.fault is not None:
            return Unanswered(answer.fault)
        tokenizer = self.inputs.tokenizer
        text: str = tokenizer.decode(answer.tokens, skip_special_tokens=True)
        # A stop string that is a special token is not in the text any more.
        text = text[: self._find_stop(text)]
        return OpenAnswer(
            text=text.strip(),
            prompt_tokens=prompt_tokens,
            output_tokens=len(answer.tokens),
            finish_reason=answer.finish_reason,
            prefill_s=answer.prefill_s,
            decode_s=answer.decode_s,
        )

    def _generate(self, chunk: Chunk, trace: Trace) -> dict[int, OpenOutcome]:
        """Answer a chunk through the library's own ``generate``: the plain path."""
        kept = chunk.prepared.kept
        answers = generate_plainly(
            self.forward,
            self.on_device(chunk.prepared),
            [chunk.questions[index].max_new_tokens for index in kept],
            self._stop_rules(),
            trace,
        )
        return {
            chunk.places[index]: self._worded(answer, length)
            for index, length, answer in zip(kept, chunk.prepared.lengths, answers, strict=True)
        }

    # --- closed and open together -------------------------------------------------------------

    def pair(
        self,
        chunks: Sequence[Chunk],
        trace: Trace,
        on_closed: Callable[[dict[int, ClosedOutcome]], None],
    ) -> dict[int, OpenOutcome]:
        """Answer chunks that hold closed and open forms of the same items.

        What pictures' prompts have in common is prefilled once. ``on_closed`` gets the closed
        outcomes of a chunk, by place, as soon as it is prefilled; the open ones are returned.
        Chunks of closed forms alone come first, chunks of open forms alone last.
        """
        answers: dict[int, OpenOutcome] = {}
        groups: list[Group] = []
        for chunk in chunks:
            asked = dict(zip(chunk.places, chunk.questions, strict=True))
            unanswered = _unanswered(chunk)
            answers |= {place: why for place, why in unanswered.items() if not asked[place].options}
            on_closed({place: why for place, why in unanswered.items() if asked[place].options})
            rows = _open_rows(chunk)
            if not rows:
                on_closed(self._closed(chunk, trace))
            elif self.stepwise:
                pair = _Pair(self, chunk, rows, trace, on_closed)
                groups.append(self._group(chunk, rows, pair.prefill, pair.score))
        answers |= self._decode(groups, chunks, trace)
        if not self.stepwise:
            for chunk in filter(_open_rows, chunks):
                answers |= self._generate(chunk, trace)
        return answers

    def on_device(self, prepared: Prepared) -> ModelInputs:
        """Return a batch's inputs where the model is, in the model's type."""
        return prepared.on(self.device, self.forward.model.dtype)


@dataclass
class _Pair:
    """A chunk of closed and open forms between its prefill and its first answers."""

    adapter: TransformersAdapter
    chunk: Chunk
    open_rows: list[int]
    trace: Trace
    on_closed: Callable[[dict[int, ClosedOutcome]], None]
    _closed: tuple[list[int], torch.Tensor] = ([], torch.empty(0))

    def prefill(self) -> tuple[torch.Tensor, Rows]:
        """Prefill all rows; keep the closed ones' logits, go on with the open ones."""
        parts = self.adapter.prefill(self.chunk)
        if len(parts) == 2:
            closed, opened = parts
            self._closed = list(closed.rows), closed.logits.cpu()
            return opened.logits, opened.state
        part = parts[0]
        rows = [row for row in part.rows if row not in self.open_rows]
        self._closed = rows, part.logits[rows].cpu()
        return part.logits[self.open_rows], part.state.select(self.open_rows)

    def score(self, spent_s: float) -> None:
        """Hand out the closed outcomes."""
        rows, logits = self._closed
        if rows:
            with self.trace.span("score"):
                outcomes = self.adapter._score(self.chunk, logits, rows, spent_s)
            self.on_closed(outcomes)


def _open_rows(chunk: Chunk) -> list[int]:
    kept = [chunk.questions[index] for index in chunk.prepared.kept]
    return [row for row, question in enumerate(kept) if not question.options]


def _unanswered(chunk: Chunk) -> dict[int, Any]:
    return {chunk.places[index]: why for index, why in chunk.prepared.unanswered.items()}
