"""What is asked: items, suite files and the wording of the questions.

The ground floor of the engine: imports nothing else of ours, and nothing heavy.
"""

from ctv_engine.suite.files import DraftItem, SuiteError, read_suite, store_image, write_suite
from ctv_engine.suite.items import Dataset, Item, Suite, SuiteKind
from ctv_engine.suite.metrics import (
    NO_META,
    OPEN_METRICS,
    AnswerType,
    Meta,
    MetricDefaults,
    OpenMetric,
    metric_defaults,
)
from ctv_engine.suite.questions import (
    CLOSED_INSTRUCTION,
    LETTERS,
    closed_text,
    cloze_text,
    open_text,
    question_hash,
)

__all__ = [
    "CLOSED_INSTRUCTION",
    "LETTERS",
    "NO_META",
    "OPEN_METRICS",
    "AnswerType",
    "Dataset",
    "DraftItem",
    "Item",
    "Meta",
    "MetricDefaults",
    "OpenMetric",
    "Suite",
    "SuiteError",
    "SuiteKind",
    "closed_text",
    "cloze_text",
    "metric_defaults",
    "open_text",
    "question_hash",
    "read_suite",
    "store_image",
    "write_suite",
]
