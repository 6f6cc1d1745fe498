"""Checkpoint directories as the HF Trainer writes them: same files, same order, same rotation."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import LlavaForConditionalGeneration, LlavaProcessor

PREFIX = "checkpoint-"


@dataclass(slots=True)
class TrainerState:
    """What ``trainer_state.json`` tells about a run; field names are those of the HF Trainer."""

    max_steps: int
    save_steps: int
    save_total_limit: int | None
    train_batch_size: int
    examples: int
    global_step: int = 0
    log_history: list[dict[str, float]] = field(default_factory=list)

    def epoch(self) -> float:
        """Return how often, on average, each example was seen."""
        return self.global_step * self.train_batch_size / self.examples

    def as_json(self) -> str:
        """Return the file's content."""
        state: dict[str, Any] = {
            "best_global_step": None,
            "best_metric": None,
            "best_model_checkpoint": None,
            "epoch": self.epoch(),
            "eval_steps": self.save_steps,
            "global_step": self.global_step,
            "is_hyper_param_search": False,
            "is_local_process_zero": True,
            "is_world_process_zero": True,
            "log_history": self.log_history,
            "logging_steps": self.save_steps,
            "max_steps": self.max_steps,
            "num_train_epochs": max(1, round(self.epoch())),
            "save_steps": self.save_steps,
            "save_total_limit": self.save_total_limit,
            "stateful_callbacks": {},
            "train_batch_size": self.train_batch_size,
            "trial_name": None,
            "trial_params": None,
        }
        return json.dumps(state, indent=2) + "\n"


def checkpoints(run_directory: Path) -> list[Path]:
    """Return the checkpoint directories of a run, oldest step first."""
    found = [p for p in run_directory.glob(f"{PREFIX}*") if p.name[len(PREFIX) :].isdigit()]
    return sorted(found, key=lambda path: int(path.name[len(PREFIX) :]))


def save_checkpoint(
    run_directory: Path,
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    state: TrainerState,
) -> Path:
    """Write one checkpoint, then delete the oldest beyond the limit; return its directory.

    Configurations come first, then weights, then the processor's files; ``trainer_state.json``
    comes last: its presence tells that the checkpoint is whole.
    """
    directory = run_directory / f"{PREFIX}{state.global_step}"
    directory.mkdir(parents=True)
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    (directory / "trainer_state.json").write_text(state.as_json(), encoding="utf-8")
    if state.save_total_limit is not None:
        for old in checkpoints(run_directory)[: -state.save_total_limit]:
            shutil.rmtree(old)
    return directory
