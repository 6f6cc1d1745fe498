"""A checkpoint behind the transformers classes: load, swap, closed prefill, open generation."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import StoppingCriteria, StoppingCriteriaList

from ctv_engine.models.answers import ClosedAnswer, OpenAnswer, Unanswered
from ctv_engine.models.letters import place_of_answer, resolve_letters
from ctv_engine.models.loading import (
    CheckpointError,
    load_model,
    make_greedy,
    refuse_non_finite,
    resolve_dtype,
)
from ctv_engine.models.lora import AdapterSlot, stamp_of
from ctv_engine.models.processors import load_processor
from ctv_engine.models.trace import Trace
from ctv_engine.scoring.closed import LetterTokens, NonFiniteLogitsError, score_closed

SELF_CHECK_TOLERANCE = {torch.float32: 1e-3}
SELF_CHECK_TOLERANCE_HALF = 0.1
_PROCESSOR_PATTERNS = ("*processor*.json", "token*", "vocab*", "merges*", "*.model", "*.jinja")


@dataclass(frozen=True, slots=True)
class Question:
    """A picture, the user's words, and, for the closed form, the number of options and the key."""

    image: Path
    text: str
    options: int = 0
    gold_index: int = 0


@dataclass
class _Prepared:
    inputs: dict[str, torch.Tensor]
    prompt_tokens: list[int]
    kept: list[int]
    unanswered: dict[int, Unanswered]


@dataclass
class TransformersAdapter:
    """One device, one resident model, swapped in place from checkpoint to checkpoint."""

    device: torch.device
    dtype: str = "auto"
    processor_directory: Path | None = None
    model: Any = None
    processor: Any = None
    batchable: bool = True
    notes: list[str] = field(default_factory=list)
    """What a user should know of how checkpoints are run; whoever reports them clears the list."""
    _letters: dict[int, LetterTokens] = field(default_factory=dict)
    _eos: tuple[int, ...] = ()
    _processor_state: tuple[tuple[str, bytes], ...] = ()
    _keeps_last: bool = False
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
            self.model = None
            raise

    def _load(self, directory: Path, base: Path | None) -> None:
        if not directory.is_dir():
            raise CheckpointError(f"{directory.name} was deleted before it could be read")
        own = base is None or any(directory.glob("*processor_config.json"))
        source = self.processor_directory or (directory if own else base) or directory
        state = _processor_state(source)
        if self.processor is None or state != self._processor_state:
            loaded = load_processor(source)
            self.processor = loaded.processor
            self.notes += [loaded.note] if loaded.note else []
            self._processor_state = state
            self._letters.clear()
        if base is not None:
            self._load_adapter(directory, base)
            return
        self._slot = None
        fresh = load_model(directory, resolve_dtype(self.dtype, self.device))
        refuse_non_finite(fresh, directory.name)
        eos = make_greedy(fresh, self.processor)
        self._check_fit(fresh, directory)
        if self.model is not None and _same_shape(self.model, fresh):
            _copy_weights(fresh, self.model)
            self.model.generation_config = fresh.generation_config
        else:
            self.model = None
            self.model = _own_memory(fresh.to(self.device))
            self._note_capabilities()
        self._eos = eos

    def _load_adapter(self, directory: Path, base: Path) -> None:
        if self._slot is None or not self._slot.holds(base):
            self._slot = self.model = None
            stamp = stamp_of(base)
            fresh = load_model(base, resolve_dtype(self.dtype, self.device))
            refuse_non_finite(fresh, base.name)
            self._slot = AdapterSlot(base, stamp, _own_memory(fresh.to(self.device)))
        self._slot.put(directory)
        self._check_fit(self._slot.model, directory)
        self.model = self._slot.model
        self._eos = make_greedy(self.model, self.processor)
        self._note_capabilities()

    def _note_capabilities(self) -> None:
        parameters = inspect.signature(type(self.model).forward).parameters
        self._keeps_last = "logits_to_keep" in parameters

    def _check_fit(self, model: Any, directory: Path) -> None:
        rows = model.get_input_embeddings().weight.shape[0]
        top = max(self.processor.tokenizer.get_vocab().values())
        if top >= rows:
            raise CheckpointError(
                f"{directory.name}: its tokenizer has ids up to {top}, its embedding {rows} rows:"
                " processor and model do not belong together"
            )

    # --- closed -------------------------------------------------------------------------------

    def closed(
        self, questions: Sequence[Question], trace: Trace
    ) -> list[ClosedAnswer | Unanswered]:
        """Score closed questions with one prefill for the batch; answers are in input order."""
        if not self.batchable and len(questions) > 1:
            return [self.closed([question], trace)[0] for question in questions]
        with trace.span("input"):
            prepared, letters = self._prepare_closed(questions)
        answers: dict[int, ClosedAnswer | Unanswered] = {**prepared.unanswered}
        if prepared.kept:
            before = trace.seconds("prefill")
            with trace.span("prefill"):
                logits = self._last_logits(prepared.inputs)
            share_s = (trace.seconds("prefill") - before) / len(prepared.kept)
            with trace.span("score"):
                for row, index in enumerate(prepared.kept):
                    question = questions[index]
                    try:
                        score = score_closed(
                            logits[row], letters, question.options, question.gold_index
                        )
                    except NonFiniteLogitsError as error:
                        answers[index] = Unanswered(str(error))
                    else:
                        answers[index] = ClosedAnswer(score, prepared.prompt_tokens[row], share_s)
        return [answers[index] for index in range(len(questions))]

    def _prepare_closed(self, questions: Sequence[Question]) -> tuple[_Prepared, LetterTokens]:
        most = max(question.options for question in questions)
        prepared = self._prepare(questions)
        if most not in self._letters and prepared.kept:
            tokenizer = self.processor.tokenizer
            ids = prepared.inputs["input_ids"][0, -prepared.prompt_tokens[0] :].tolist()
            place = place_of_answer(tokenizer, ids, self._render(questions[0].text))
            self._letters[most] = resolve_letters(tokenizer, place, most)
        return prepared, self._letters.get(most, ())

    @torch.inference_mode()
    def _last_logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the last position's logits on the CPU in float32, shape (batch, vocabulary)."""
        keep = {"logits_to_keep": 1} if self._keeps_last else {}
        output = self.model(**inputs, use_cache=False, **keep)
        logits: torch.Tensor = output.logits[:, -1].float().cpu()
        return logits

    # --- open ---------------------------------------------------------------------------------

    def open(
        self, questions: Sequence[Question], max_new_tokens: int, trace: Trace
    ) -> list[OpenAnswer | Unanswered]:
        """Answer open questions greedily; answers are in input order."""
        if not self.batchable and len(questions) > 1:
            return [self.open([question], max_new_tokens, trace)[0] for question in questions]
        with trace.span("input"):
            prepared = self._prepare(questions, room=max_new_tokens)
        answers: dict[int, OpenAnswer | Unanswered] = {**prepared.unanswered}
        if prepared.kept:
            width = prepared.inputs["input_ids"].shape[1]
            steps = _StepClock()
            started = time.time()
            with torch.inference_mode():
                output = self.model.generate(
                    **prepared.inputs,
                    max_new_tokens=max_new_tokens,
                    stopping_criteria=StoppingCriteriaList([steps]),
                )
            tokens = output[:, width:].tolist()
            trace.add("prefill", started, steps.at[0])
            if len(steps.at) > 1:
                trace.add("decode", steps.at[0], steps.at[-1])
            with trace.span("score"):
                rows = [_until_end(row, self._eos) for row in tokens]
                prefill_s = (steps.at[0] - started) / len(rows)
                decode_s = _decode_shares(steps.at, [len(row) for row in rows])
                for row, index in enumerate(prepared.kept):
                    ids = rows[row]
                    stopped = bool(ids) and ids[-1] in self._eos
                    text = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
                    answers[index] = OpenAnswer(
                        text=text.strip(),
                        prompt_tokens=prepared.prompt_tokens[row],
                        output_tokens=len(ids),
                        finish_reason="stop" if stopped else "length",
                        prefill_s=prefill_s,
                        decode_s=decode_s[row],
                    )
        return [answers[index] for index in range(len(questions))]

    # --- inputs -------------------------------------------------------------------------------

    def _render(self, text: str) -> str:
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        template = self.processor.chat_template or self.processor.tokenizer.chat_template
        rendered: str = self.processor.apply_chat_template(
            [message], chat_template=template, add_generation_prompt=True, tokenize=False
        )
        return rendered

    def _prepare(self, questions: Sequence[Question], room: int = 1) -> _Prepared:
        """Make the model's inputs, left-padded, for the questions that can be asked at all."""
        images: list[Image.Image] = []
        kept: list[int] = []
        unanswered: dict[int, Unanswered] = {}
        for index, question in enumerate(questions):
            try:
                with Image.open(question.image) as image:
                    images.append(image.convert("RGB"))
                kept.append(index)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                unanswered[index] = Unanswered(
                    f"image {question.image.name} can't be decoded: {error}"
                )
        if not kept:
            return _Prepared({}, [], [], unanswered)
        prompts = [self._render(questions[index].text) for index in kept]
        bos: str | None = self.processor.tokenizer.bos_token
        rendered_bos = bos is not None and prompts[0].startswith(bos)
        inputs = self.processor(
            text=prompts,
            images=[[image] for image in images],
            padding=True,
            return_tensors="pt",
            **({"add_special_tokens": False} if rendered_bos else {}),
        )
        inputs.pop("labels", None)
        lengths = inputs["attention_mask"].sum(-1).tolist()
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and max(lengths) + room > limit:
            fitting = [i for i, n in zip(kept, lengths, strict=True) if n + room <= limit]
            for index, length in zip(kept, lengths, strict=True):
                if index not in fitting:
                    unanswered[index] = Unanswered(
                        f"prompt of {length} tokens and up to {room} new ones"
                        f" do not fit the model's context of {limit}"
                    )
            rest = self._prepare([questions[i] for i in fitting], room)
            back = [fitting[i] for i in rest.kept]
            return _Prepared(rest.inputs, rest.prompt_tokens, back, unanswered)
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        model_dtype = next(self.model.parameters()).dtype
        for name, value in moved.items():
            if value.is_floating_point():
                moved[name] = value.to(model_dtype)
        return _Prepared(moved, lengths, kept, unanswered)

    # --- self-check ---------------------------------------------------------------------------

    def self_check(self, questions: Sequence[Question]) -> str | None:
        """Prove on real questions that a batch answers as its items do one by one.

        Returns None if it does. Otherwise batches are run item by item from now on, and the text
        says by how much the two differed.
        """
        self.batchable = True
        batch = self._prepare(questions)
        if len(batch.kept) < 2:
            return None
        together = torch.log_softmax(self._last_logits(batch.inputs), dim=-1)
        worst = 0.0
        for row, index in enumerate(batch.kept):
            alone = self._last_logits(self._prepare([questions[index]]).inputs)[0]
            reference = torch.log_softmax(alone, dim=-1)
            likely = reference > reference.max() - 10.0
            worst = max(worst, float((together[row] - reference)[likely].abs().max()))
        dtype = next(self.model.parameters()).dtype
        if worst <= SELF_CHECK_TOLERANCE.get(dtype, SELF_CHECK_TOLERANCE_HALF):
            return None
        self.batchable = False
        kind = type(self.model).__name__
        return (
            f"{kind}: log-probabilities of a padded batch differ by up to {worst:.2g} from those of"
            " single items; items are run one by one"
        )


class _StepClock(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token was there; never stops anything."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        input_ids[:, -1].cpu()
        self.at.append(time.time())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def _until_end(tokens: list[int], eos: tuple[int, ...]) -> list[int]:
    for position, token in enumerate(tokens):
        if token in eos:
            return tokens[: position + 1]
    return tokens


def _decode_shares(at: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """Divide each step after the first among the rows that were still running in it."""
    shares = [0.0] * len(lengths)
    for step in range(1, len(at)):
        running = [row for row, length in enumerate(lengths) if length > step]
        for row in running:
            shares[row] += (at[step] - at[step - 1]) / len(running)
    return shares


def _processor_state(directory: Path) -> tuple[tuple[str, bytes], ...]:
    """Return name and content of every file that makes up a processor."""
    files = {path for pattern in _PROCESSOR_PATTERNS for path in directory.glob(pattern)}
    return tuple((path.name, path.read_bytes()) for path in sorted(files) if path.is_file())


def _same_shape(resident: Any, fresh: Any) -> bool:
    def settings(model: Any) -> dict[str, Any]:
        values: dict[str, Any] = model.config.to_dict()
        for name in ("_name_or_path", "transformers_version"):
            values.pop(name, None)
        return values

    if type(resident) is not type(fresh) or settings(resident) != settings(fresh):
        return False
    old, new = resident.state_dict(), fresh.state_dict()
    return old.keys() == new.keys() and all(
        old[key].shape == new[key].shape and old[key].dtype == new[key].dtype for key in old
    )


def _own_memory(model: Any) -> Any:
    """Detach CPU weights from the memory-mapped file, which its owner may truncate."""
    for parameter in model.parameters():
        if parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()
    return model


@torch.inference_mode()
def _copy_weights(source: Any, target: Any) -> None:
    resident = target.state_dict()
    for name, value in source.state_dict().items():
        resident[name].copy_(value)
