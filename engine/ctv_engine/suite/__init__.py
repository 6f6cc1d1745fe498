"""What is asked: items, suite files and the wording of the questions.

The ground floor of the engine: imports nothing else of ours, and nothing heavy.
"""

from ctv_engine.suite.files import DraftItem, SuiteError, read_suite, write_suite
from ctv_engine.suite.items import OPEN_METRICS, Dataset, Item, OpenMetric, Suite, SuiteKind
from ctv_engine.suite.questions import (
    CLOSED_INSTRUCTION,
    LETTERS,
    closed_text,
    open_text,
    question_hash,
)

__all__ = [
    "CLOSED_INSTRUCTION",
    "LETTERS",
    "OPEN_METRICS",
    "Dataset",
    "DraftItem",
    "Item",
    "OpenMetric",
    "Suite",
    "SuiteError",
    "SuiteKind",
    "closed_text",
    "open_text",
    "question_hash",
    "read_suite",
    "write_suite",
]
