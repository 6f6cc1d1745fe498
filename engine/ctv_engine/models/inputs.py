"""From questions to what a model takes: prompt text, image tokens, pixels, padding."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ctv_engine.models.answers import Unanswered
from ctv_engine.models.cached_images import CachedImages, Picture, PictureError, open_picture
from ctv_engine.models.forward import ModelInputs
from ctv_engine.models.input_cache import InputCache
from ctv_engine.models.work import Work


@dataclass(frozen=True, slots=True)
class Question:
    """A picture, the user's words, and, for the closed form, the number of options and the key.

    ``max_new_tokens`` bounds the open form's answer.
    """

    picture: Picture
    text: str
    options: int = 0
    gold_index: int = 0
    max_new_tokens: int = 1


@dataclass
class Prepared:
    """A batch's inputs, on the CPU, for the questions that can be asked at all.

    ``kept`` are their places among the questions, ``lengths`` their prompt tokens; ``unanswered``
    says of each of the others why not.
    """

    inputs: ModelInputs = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    unanswered: dict[int, Unanswered] = field(default_factory=dict)

    def on(self, device: torch.device, dtype: torch.dtype) -> ModelInputs:
        """Return the inputs on ``device``, numbers of floating point in ``dtype``."""
        moved: ModelInputs = {}
        for name, value in self.inputs.items():
            if device.type == "cuda":
                value = value.pin_memory()
            kind = dtype if value.is_floating_point() else value.dtype
            moved[name] = value.to(device, kind, non_blocking=True)
        return moved

    def ids(self, row: int) -> list[int]:
        """Return a kept row's token ids without its padding."""
        real = self.inputs["attention_mask"][row].bool()
        found: list[int] = self.inputs["input_ids"][row][real].tolist()
        return found


class InputBuilder:
    """A checkpoint's processor with the input cache in its place for pictures."""

    def __init__(self, processor: Any, cache: InputCache | None, work: Work) -> None:
        self.processor = processor
        self.work = work
        self.images = CachedImages(processor.image_processor, cache, work)
        self.uses_cache = True
        self.lock = threading.Lock()
        """For whoever calls processor or tokenizer: stand-ins and padding are states of theirs."""

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    def render(self, text: str) -> str:
        """Return the chat prompt about one picture, up to where the answer begins."""
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        template = self.processor.chat_template or self.tokenizer.chat_template
        rendered: str = self.processor.apply_chat_template(
            [message], chat_template=template, add_generation_prompt=True, tokenize=False
        )
        return rendered

    def build(
        self, questions: Sequence[Question], context: int | None, work: Work | None = None
    ) -> Prepared:
        """Make the inputs of one batch; pictures are counted in ``work``, by default our own.

        A picture that can't be decoded, and a prompt that leaves no room for its answer in the
        model's ``context`` (tokens), cost their own question alone.
        """
        kept = list(range(len(questions)))
        unanswered: dict[int, Unanswered] = {}
        while kept:
            try:
                inputs = self._process([questions[index] for index in kept], work)
            except PictureError as error:
                bad = [i for i in kept if questions[i].picture == error.picture]
                unanswered |= {index: Unanswered(str(error)) for index in bad}
                kept = [index for index in kept if index not in bad]
                continue
            lengths = inputs["attention_mask"].sum(-1).tolist()
            long = {
                index: Unanswered(
                    f"prompt of {length} tokens and up to {questions[index].max_new_tokens} new"
                    f" ones do not fit the model's context of {context}"
                )
                for index, length in zip(kept, lengths, strict=True)
                if context is not None and length + questions[index].max_new_tokens > context
            }
            if not long:
                return Prepared(inputs, lengths, kept, unanswered)
            unanswered |= long
            kept = [index for index in kept if index not in long]
        return Prepared(unanswered=unanswered)

    def lengths(self, questions: Sequence[Question]) -> list[int | None]:
        """Return each question's prompt tokens, None where its picture can't be decoded."""
        prepared = self.build(questions, None)
        found = dict(zip(prepared.kept, prepared.lengths, strict=True))
        return [found.get(index) for index in range(len(questions))]

    def _process(
        self, questions: Sequence[Question], work: Work | None = None, *, plainly: bool = False
    ) -> ModelInputs:
        prompts = [self.render(question.text) for question in questions]
        bos: str | None = self.tokenizer.bos_token
        rendered_bos = bos is not None and prompts[0].startswith(bos)
        options = {"add_special_tokens": False} if rendered_bos else {}
        with self.lock:
            self.images.work = self.work if work is None else work
            if plainly or not self.uses_cache:
                images = [[open_picture(question.picture)] for question in questions]
                self.images.work.images_decoded += len(images)
                made = self._call(prompts, images, options)
            else:
                images = [[self.images.stand_in(question.picture)] for question in questions]
                self.processor.image_processor = self.images
                try:
                    made = self._call(prompts, images, options)
                finally:
                    self.processor.image_processor = self.images.real
                    self.images.forget()
        return {
            name: value
            for name, value in made.items()
            if name != "labels" and isinstance(value, torch.Tensor)
        }

    def _call(self, prompts: list[str], images: list[list[Any]], options: dict[str, Any]) -> Any:
        return self.processor(
            text=prompts, images=images, padding=True, return_tensors="pt", **options
        )

    def check_cache(self, questions: Sequence[Question]) -> str | None:
        """Prove that pictures put together one by one are what the processor makes of the batch.

        Returns None if they are, bit for bit. Otherwise the cache isn't used from now on, and the
        text says what differed.
        """
        self.uses_cache = True
        asked = [questions[index] for index in self.build(questions, None).kept]
        if not asked:
            return None
        cached, plain = self._process(asked), self._process(asked, plainly=True)
        differing = [
            name
            for name in sorted({*cached, *plain})
            if name not in cached
            or name not in plain
            or cached[name].shape != plain[name].shape
            or not torch.equal(cached[name], plain[name])
        ]
        if not differing:
            return None
        self.uses_cache = False
        kind = type(self.processor).__name__
        return (
            f"{kind}: inputs put together picture by picture differ from the processor's own in"
            f" {', '.join(differing)}; the input cache is not used"
        )
