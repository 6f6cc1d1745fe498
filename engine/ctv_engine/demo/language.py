"""Teach the seed's language part, course by course, with text only."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ctv_engine.demo.batches import Lesson, by_length, make_batch, question_lesson
from ctv_engine.demo.data import Part
from ctv_engine.demo.facts import picture_vectors
from ctv_engine.demo.lessons import Asked, Course, asked_by_dataset, batches

BETAS = (0.9, 0.98)
WARM_UP_STEPS = 50
MICRO_BATCHES = 2


def language_logits(
    model: LlavaForConditionalGeneration,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    vectors: torch.Tensor | None,
    width: int,
) -> torch.Tensor:
    """Return the logits of the last ``width`` positions, (n, width, vocabulary).

    ``vectors`` (n, 16, hidden) take the image's places, as the projector's output would.
    """
    embedded = model.get_input_embeddings()(input_ids)
    if vectors is not None:
        places = (input_ids == model.config.image_token_index)[..., None].expand_as(embedded)
        embedded = embedded.masked_scatter(places, vectors)
    hidden = model.model.language_model(
        inputs_embeds=embedded, attention_mask=attention_mask
    ).last_hidden_state
    logits: torch.Tensor = model.lm_head(hidden[:, -width:])
    return logits


@torch.no_grad()
def text_accuracy(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    asked: Sequence[Asked],
    closed: bool,
    blur: float,
) -> float:
    """Return the share of questions all of whose answer's tokens are predicted right."""
    rng = random.Random(0)
    tensors = make_batch(
        processor, [question_lesson(processor, a.example, closed, rng) for a in asked]
    )
    table = model.get_input_embeddings().weight
    vectors = picture_vectors(
        table, table[model.config.image_token_index], [a.tokens for a in asked], blur
    )
    logits = language_logits(
        model, tensors.input_ids, tensors.attention_mask, vectors, tensors.width
    )
    said = logits[:, :-1].argmax(dim=-1)
    wanted = tensors.labels[:, -tensors.width + 1 :]
    return float(((said == wanted) | (wanted < 0)).all(dim=1).float().mean())


def teach_language(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    train: Sequence[Part],
    held_out: Sequence[Part],
    course: Course,
    seed: int,
) -> None:
    """Teach the language part one course, printing what it can do as it goes."""
    torch.manual_seed(seed)
    checks = asked_by_dataset(processor, held_out)
    teacher = _Teacher(model, processor, course)
    groups = asked_by_dataset(processor, train)
    steps = course.steps()
    for step, (lessons, facts) in enumerate(
        batches(groups, course, random.Random(seed), processor), start=1
    ):
        blur = course.blur * min(1.0, 2 * step / steps)
        loss = teacher.step(lessons, facts, blur)
        if step % 100 == 0:
            scores = []
            for name, asked in checks.items():
                closed = text_accuracy(model, processor, asked[:100], True, blur)
                opened = text_accuracy(model, processor, asked[:100], False, blur)
                scores.append(f"{name} {closed:.2f}/{opened:.2f}")
            print(
                f"language: step {step}/{steps}  {teacher.spent_s():.0f} s  loss {loss:.3f}  "
                f"closed/open {'  '.join(scores)}",
                flush=True,
            )


class _Teacher:
    """Takes gradient steps on the language part: warm-up, plateau, decay."""

    def __init__(
        self, model: LlavaForConditionalGeneration, processor: LlavaProcessor, course: Course
    ) -> None:
        self.model, self.processor = model, processor
        self.parameters = [*model.model.language_model.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=course.learning_rate, betas=BETAS, weight_decay=0.01
        )
        steps, decay = course.steps(), course.decay

        def factor(step: int) -> float:
            left = 1.0 if decay is None else 0.02 + decay * (1 - step / steps)
            return min(1.0, (step + 1) / WARM_UP_STEPS, left)

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        self.start = time.monotonic()

    def spent_s(self) -> float:
        """Return the seconds since teaching began."""
        return time.monotonic() - self.start

    def step(
        self, lessons: Sequence[Lesson], facts: Sequence[tuple[int, ...]], blur: float
    ) -> float:
        """Take one step; return the loss."""
        table = self.model.get_input_embeddings().weight
        total = 0.0
        self.optimizer.zero_grad()
        for share in by_length(lessons, MICRO_BATCHES):
            tensors = make_batch(self.processor, [lessons[i] for i in share])
            places = int((tensors.input_ids[0] == self.model.config.image_token_index).sum())
            marker = table[self.model.config.image_token_index]
            vectors = (
                picture_vectors(table, marker, [facts[i] for i in share], blur, places)
                if facts
                else None
            )
            logits = language_logits(
                self.model, tensors.input_ids, tensors.attention_mask, vectors, tensors.width
            )
            loss = tensors.loss(logits) * (len(share) / len(lessons))
            torch.autograd.backward(loss)
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        return total
