"""What is said to a language model while a suite is made, and the hash that pins it."""

from ctv_engine.construction.prompts.asking import (
    annotate,
    propose,
    rate,
    refine,
    review,
    revise,
    select,
)
from ctv_engine.construction.prompts.pinned import prompts_hash
from ctv_engine.construction.prompts.wording import KINDS, Kind

__all__ = [
    "KINDS",
    "Kind",
    "annotate",
    "prompts_hash",
    "propose",
    "rate",
    "refine",
    "review",
    "revise",
    "select",
]
