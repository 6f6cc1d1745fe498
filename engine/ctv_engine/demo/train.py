"""Train the seed on pictures and write checkpoints: a process of its own, with one thread.

``python -m ctv_engine.demo.train --data DIR/train --seed-model SEED --out RUN --seconds 210``

It stands for somebody's training run: it knows nothing of whoever reads its checkpoints. The
first steps are timed and the wall-time budget is turned into a number of steps; on a machine that
grows slower meanwhile the run ends early, at a checkpoint.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from ctv_engine.demo.batches import Lesson, by_length, make_batch, pixel_values, question_lesson
from ctv_engine.demo.checkpoint import TrainerState, checkpoints, save_checkpoint
from ctv_engine.demo.data import read_train
from ctv_engine.demo.examples import DATASETS, Example
from ctv_engine.demo.model import load

BATCH = 32
MICRO_BATCHES = 2
# The projector has all to learn; eyes and language part come taught and only follow.
PROJECTOR_RATE, EYES_RATE, LANGUAGE_RATE = 1e-3, 1e-4, 1e-4
# A long warm-up keeps the first checkpoints weak: the link is found over the run, not at once.
WARM_UP_SHARE = 0.3
# A run of fewer steps takes larger ones, so that its curve has the same shape on a slow machine.
REFERENCE_STEPS = 600
LEAST_SCALE, LARGEST_SCALE = 0.6, 2.5
CALIBRATION_STEPS = 12
# A reader of the checkpoints will want the same memory and caches once the first is written.
SLOWDOWN = 1.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps a run takes and after how many of them it saves."""

    max_steps: int
    save_steps: int


def plan_steps(remaining_s: float, step_s: float, done: int, checkpoints_wanted: int) -> Plan:
    """Turn a time budget into steps.

    Args:
        remaining_s: wall time left.
        step_s: seconds per step, as measured.
        done: steps already taken.
        checkpoints_wanted: the number of checkpoints to spread evenly.

    Returns:
        A plan whose ``max_steps`` is a multiple of ``save_steps``, which is at least ``done``.
    """
    total = done + remaining_s / (step_s * SLOWDOWN)
    save_steps = max(1, done, int(total / checkpoints_wanted))
    return Plan(max(1, min(checkpoints_wanted, int(total / save_steps))) * save_steps, save_steps)


def learning_rate_factor(progress: float) -> float:
    """Return the share of the peak rate at ``progress`` (0 … 1): warm-up, then half a cosine."""
    warm = min(1.0, progress / WARM_UP_SHARE)
    rest = min(1.0, max(0.0, (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)))
    return 0.02 + 0.98 * warm * (0.15 + 0.85 * 0.5 * (1 + math.cos(math.pi * rest)))


def rate_scale(max_steps: int) -> float:
    """Return the factor of the peak rates in a run of ``max_steps`` (0: not known yet)."""
    if not max_steps:
        return 1.0
    return min(LARGEST_SCALE, max(LEAST_SCALE, REFERENCE_STEPS / max_steps))


class Trainer:
    """Draws lessons evenly from all datasets, half of them closed, and takes gradient steps."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        pictures: np.ndarray,
        examples: Sequence[Example],
        seed: int,
    ) -> None:
        self.model, self.processor, self.pictures = model, processor, pictures
        self.rng = random.Random(seed)
        self.groups: dict[str, list[Example]] = {dataset.name: [] for dataset in DATASETS}
        for example in examples:
            self.groups[example.dataset].append(example)
        parts = model.model
        self.peaks = (PROJECTOR_RATE, EYES_RATE, LANGUAGE_RATE)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(part.parameters())}
                for part in (parts.multi_modal_projector, parts.vision_tower, parts.language_model)
            ],
            lr=PROJECTOR_RATE,
            weight_decay=0.01,
        )

    def draw(self) -> tuple[list[Lesson], list[int]]:
        """Return one step's lessons and the index of each one's picture."""
        names = list(self.groups)
        lessons: list[Lesson] = []
        indices: list[int] = []
        for place in range(BATCH):
            example = self.rng.choice(self.groups[self.rng.choice(names)])
            lessons.append(question_lesson(self.processor, example, place % 2 == 0, self.rng))
            indices.append(example.picture)
        return lessons, indices

    def step(self, progress: float, max_steps: int) -> float:
        """Take one gradient step at ``progress`` (0 … 1) of ``max_steps``; return the loss."""
        factor = learning_rate_factor(progress) * rate_scale(max_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        lessons, indices = self.draw()
        total = 0.0
        self.optimizer.zero_grad()
        for share in by_length(lessons, MICRO_BATCHES):
            batch = make_batch(self.processor, [lessons[i] for i in share])
            logits = self.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                pixel_values=pixel_values(self.pictures, [indices[i] for i in share]),
                logits_to_keep=batch.width,
            ).logits
            loss = batch.loss(logits) * (len(share) / len(lessons))
            torch.autograd.backward(loss)
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return total

    def learning_rate(self) -> float:
        """Return the projector's rate at the last step."""
        return float(self.optimizer.param_groups[0]["lr"])


class StopRequest:
    """Remembers that SIGTERM or SIGINT arrived, so that the step under way can end."""

    def __init__(self) -> None:
        self.arrived = False

    def install(self) -> None:
        """Take over both signals."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True


def train(
    data: Path,
    seed_model: Path,
    out: Path,
    *,
    seconds: float,
    checkpoints_wanted: int,
    save_total_limit: int | None = 3,
    seed: int = 0,
    plan: Plan | None = None,
    stop: StopRequest | None = None,
) -> TrainerState:
    """Train for about ``seconds`` and write about ``checkpoints_wanted`` checkpoints to ``out``.

    With ``plan`` the steps are fixed beforehand and the clock is not looked at.

    Raises:
        FileNotFoundError: no training data or no seed model.
        FileExistsError: ``out`` already holds checkpoints.
    """
    start = time.monotonic()
    if checkpoints(out):
        raise FileExistsError(f"{out} already holds checkpoints; choose another directory")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model, processor = load(seed_model)
    pictures, examples = read_train(data)
    trainer = Trainer(model, processor, pictures, examples, seed)
    stop = stop or StopRequest()
    timed = plan is None
    step_times: deque[float] = deque(maxlen=40)
    losses: list[float] = []
    limit_s = seconds if timed else math.inf
    state = TrainerState(
        max_steps=plan.max_steps if plan else 0,
        save_steps=plan.save_steps if plan else 0,
        save_total_limit=save_total_limit,
        train_batch_size=BATCH,
        examples=len(examples),
    )
    model.train()
    while not stop.arrived and (state.max_steps == 0 or state.global_step < state.max_steps):
        began = time.monotonic()
        spent = (began - start) / limit_s
        planned = state.global_step / state.max_steps if state.max_steps else 0.0
        progress = max(spent, planned)
        losses.append(trainer.step(progress, state.max_steps))
        state.global_step += 1
        now = time.monotonic()
        if state.global_step > 1:
            step_times.append(now - began)
        if state.max_steps == 0 and len(step_times) == CALIBRATION_STEPS:
            made = plan_steps(
                limit_s - (now - start),
                float(np.median(step_times)),
                state.global_step,
                checkpoints_wanted,
            )
            state.max_steps, state.save_steps = made.max_steps, made.save_steps
        if state.save_steps == 0 or state.global_step % state.save_steps:
            continue
        next_s = state.save_steps * float(np.mean(step_times)) if step_times else 0.0
        if timed and now - start + next_s > 1.05 * limit_s:
            state.max_steps = state.global_step
        state.log_history.append(
            {
                "epoch": state.epoch(),
                "learning_rate": trainer.learning_rate(),
                "loss": float(np.mean(losses)),
                "step": state.global_step,
            }
        )
        losses.clear()
        save_checkpoint(out, model, processor, state)
        print(
            f"step {state.global_step}/{state.max_steps}  loss {state.log_history[-1]['loss']:.4f}"
            f"  {time.monotonic() - start:.0f} s",
            flush=True,
        )
    if stop.arrived:
        print(f"stopped at step {state.global_step}", flush=True)
    return state


def main() -> int:
    """Command line; returns the exit status: 0 (also after SIGTERM), 2 for unusable input."""
    parser = argparse.ArgumentParser(description="Train the demo's model; write checkpoints.")
    parser.add_argument("--data", type=Path, required=True, help="DIR/train of the demo's data")
    parser.add_argument("--seed-model", type=Path, required=True, help="the model to start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoint-N are written")
    parser.add_argument("--seconds", type=float, default=210.0, help="wall-time budget")
    parser.add_argument("--checkpoints", type=int, default=12, help="about how many to write")
    parser.add_argument("--save-total-limit", type=int, default=3, help="keep the newest; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="this many, whatever the clock says")
    options = parser.parse_args()
    if options.seconds <= 0 or options.checkpoints < 1 or options.save_total_limit < 0:
        parser.error("--seconds and --checkpoints must be positive")
    plan = None
    if options.steps is not None:
        if options.steps < options.checkpoints:
            parser.error("--steps must be at least --checkpoints")
        save_steps = options.steps // options.checkpoints
        plan = Plan(save_steps * options.checkpoints, save_steps)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    stop = StopRequest()
    stop.install()
    try:
        train(
            options.data,
            options.seed_model,
            options.out,
            seconds=options.seconds,
            checkpoints_wanted=options.checkpoints,
            save_total_limit=options.save_total_limit or None,
            seed=options.seed,
            plan=plan,
            stop=stop,
        )
    except (FileNotFoundError, FileExistsError, TypeError) as error:
        print(f"ctv_engine.demo.train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
