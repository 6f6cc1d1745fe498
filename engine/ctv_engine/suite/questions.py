"""The wording of the closed and the open question.

Only the user's turn is made here; the checkpoint's own chat template is put around it by the model
adapter. Both forms begin with the same words, so that a paired item shares its prefix.
"""

from __future__ import annotations

import hashlib
import string

from ctv_engine.suite.items import Dataset, Item
from ctv_engine.suite.metrics import Meta

LETTERS = string.ascii_uppercase
CLOSED_INSTRUCTION = "Answer with the option's letter."


def closed_text(item: Item) -> str:
    """Return question, lettered options (one per line) and the instruction to give a letter.

    Raises:
        ValueError: the item has no closed form.
    """
    if item.gold_index is None:
        raise ValueError(f"{item.dataset}/{item.key} has no options: it has no closed form")
    lines = [item.question]
    lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False)]
    lines.append(CLOSED_INSTRUCTION)
    return "\n".join(lines)


def open_text(item: Item, dataset: Dataset) -> str:
    """Return the question, its own choices if it has any, and the dataset's open instruction.

    Choices are those of the open task (MathVista), not the closed form's options: ``(A) …``, one
    per line.
    """
    lines = [item.question]
    choices = zip(LETTERS, item.meta.choices, strict=False)
    lines += [f"({letter}) {choice}" for letter, choice in choices]
    if dataset.open_instruction:
        lines.append(dataset.open_instruction)
    return "\n".join(lines)


def cloze_text(item: Item, dataset: Dataset) -> str:
    """Return the question and the dataset's open instruction, without any list of options."""
    return "\n".join(filter(None, (item.question, dataset.open_instruction)))


def question_hash() -> str:
    """Return a short hash of the wording that is not part of a suite, stored with every run."""
    probe = Item("d", "k", "q", "", "", ("x", "y"), 0, ("x",), Meta(choices=("x", "y")))
    asked = closed_text(probe) + open_text(probe, Dataset("d", "mathvista", 1, "i"))
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
