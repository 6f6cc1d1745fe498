"""Adapters with every shortcut proven, and a checkpoint straight through transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asking
import torch
from asking import loaded, logprobs, prove
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from ctv_engine.models.inputs import Question
from ctv_engine.models.transformers_adapter import TransformersAdapter

torch.set_num_threads(1)

BATCH_SIZES = [1, 4, 16]
SLOTS = {1: 3, 4: 6, 16: 16}
"""Decode slots by the rows that are prefilled together: fewer than there are items."""
NEW_TOKENS = 8


def copy_of(checkpoint: Path, home: Path) -> Path:
    return Path(shutil.copytree(checkpoint, home / checkpoint.name))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def proven(directory: Path, probe: Sequence[Question], **options: Any) -> TransformersAdapter:
    """Return an adapter with every shortcut on, each of them proven."""
    adapter = loaded(directory, **options)
    assert prove(adapter, probe) == []
    assert adapter.abilities.batch and adapter.abilities.share and adapter.abilities.stepwise
    return adapter


def closed_logprobs(
    adapter: TransformersAdapter, questions: Sequence[Question], size: int = 16
) -> torch.Tensor:
    return logprobs(asking.closed(adapter, questions, size))


class Plain:
    """A checkpoint straight through transformers, item by item, with no padding."""

    def __init__(self, directory: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(directory)
        self.model = AutoModelForImageTextToText.from_pretrained(directory, dtype=torch.float32)
        self.model.eval()

    def inputs(self, question: Question) -> Any:
        content = [{"type": "image"}, {"type": "text", "text": question.text}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        image = Image.open(question.picture.path).convert("RGB")
        return self.processor(text=prompt, images=image, return_tensors="pt")

    def closed(self, questions: Sequence[Question]) -> torch.Tensor:
        """Return log-probabilities of A … D, shape (questions, 4)."""
        letters = self.processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])
        with torch.no_grad():
            rows = [self.model(**self.inputs(q)).logits[0, -1] for q in questions]
        return torch.log_softmax(torch.stack(rows), dim=-1)[:, letters]

    def open(self, question: Question, **options: Any) -> list[int]:
        """Return the new token ids."""
        inputs = self.inputs(question)
        options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, **options}
        output = self.model.generate(**inputs, **options)
        ids: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Return new tokens as the text of an answer."""
        text: str = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()
