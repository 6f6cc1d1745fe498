"""Open metrics as a suite names them: wording and length cap of each, and what it must be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

OpenMetric = Literal[
    "exact_match",
    "anls",
    "anls_harness",
    "relaxed",
    "relaxed_harness",
    "mathvista",
    "vqa_soft",
    "vqa_majority",
    "judge",
]
OPEN_METRICS: tuple[OpenMetric, ...] = get_args(OpenMetric)

AnswerType = Literal["text", "integer", "float", "list"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

ANNOTATORS = 10
MAX_PRECISION = 12

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Meta:
    """What a metric needs beside the accepted answers.

    ``answer_type`` and ``precision`` (decimal places of a ``float``) say how a MathVista answer is
    read; ``choices`` are shown with the open question, lettered in their order.
    ``annotators`` are the answers that ten people gave, repeats included (VizWiz, VQA v2).
    ``capabilities`` are what the question takes (MM-Vet: rec, ocr, know, gen, spat, math).
    """

    answer_type: AnswerType | None = None
    precision: int | None = None
    choices: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def over(self, base: Meta) -> Meta:
        """Return this with what it leaves out taken from ``base``."""
        return Meta(
            answer_type=self.answer_type or base.answer_type,
            precision=base.precision if self.precision is None else self.precision,
            choices=self.choices or base.choices,
            annotators=self.annotators or base.annotators,
            capabilities=self.capabilities or base.capabilities,
        )

    def stated(self) -> dict[str, Any]:
        """Return what is set, as a suite file writes it."""
        stated: dict[str, Any] = {}
        if self.answer_type is not None:
            stated["answer_type"] = self.answer_type
        if self.precision is not None:
            stated["precision"] = self.precision
        if self.choices:
            stated["choices"] = list(self.choices)
        if self.annotators:
            stated["annotators"] = list(self.annotators)
        if self.capabilities:
            stated["capabilities"] = list(self.capabilities)
        return stated


NO_META = Meta()


@dataclass(frozen=True, slots=True)
class MetricDefaults:
    """What a dataset of this metric gets where ``suite.toml`` leaves it out.

    The wordings ask for the short form that the metric can read. The caps (tokens) are those of
    lmms-eval but for MathVista, whose 16,384 would make one item cost more than its dataset.
    """

    open_instruction: str
    max_new_tokens: int


_WORD = "Answer the question with a single word."
_PHRASE = "Answer the question using a single word or phrase."
_FINAL = 'End with a line "Answer:" followed by the option\'s letter, the number or the list alone.'
_UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."

_DEFAULTS: dict[OpenMetric, MetricDefaults] = {
    "exact_match": MetricDefaults(_WORD, 16),
    "anls": MetricDefaults(_PHRASE, 32),
    "anls_harness": MetricDefaults(_PHRASE, 32),
    "relaxed": MetricDefaults(_WORD, 16),
    "relaxed_harness": MetricDefaults(_WORD, 16),
    "mathvista": MetricDefaults(_FINAL, 1024),
    "vqa_soft": MetricDefaults(f"{_UNANSWERABLE}\n{_PHRASE}", 32),
    "vqa_majority": MetricDefaults(f"{_UNANSWERABLE}\n{_PHRASE}", 32),
    "judge": MetricDefaults("", 1024),
}


def metric_defaults(metric: OpenMetric) -> MetricDefaults:
    """Return the recommended instruction and token cap of a metric."""
    return _DEFAULTS[metric]


def read_meta(table: object, faults: list[str]) -> Meta:
    """Return the ``meta`` of an item or dataset; what is wrong with it goes to ``faults``."""
    if table is None:
        return NO_META
    if not isinstance(table, Mapping):
        faults.append(f"meta must be an object, not {table!r}")
        return NO_META
    meta = NO_META
    for name, value in table.items():
        if name == "answer_type":
            if value in ANSWER_TYPES:
                meta = replace(meta, answer_type=value)
            else:
                faults.append(f"meta.answer_type is {value!r}; use {', '.join(ANSWER_TYPES)}")
        elif name == "precision":
            if type(value) is int and 0 <= value <= MAX_PRECISION:
                meta = replace(meta, precision=value)
            else:
                faults.append(
                    f"meta.precision is {value!r}; use a whole number of decimal places,"
                    f" 0 to {MAX_PRECISION}"
                )
        elif name == "choices":
            if _texts(value) and len(value) >= 2 and all(choice.strip() for choice in value):
                meta = replace(meta, choices=tuple(value))
            else:
                faults.append("meta.choices must be a list of two or more non-empty strings")
        elif name == "annotators":
            if _texts(value) and len(value) == ANNOTATORS:
                meta = replace(meta, annotators=tuple(value))
            else:
                found = f"{len(value)} values" if isinstance(value, list) else repr(value)
                faults.append(
                    f"meta.annotators must be the {ANNOTATORS} answers of {ANNOTATORS} people as"
                    f" strings, repeats included; found {found}"
                )
        elif name == "capabilities":
            if _texts(value) and all(capability.strip() for capability in value):
                meta = replace(meta, capabilities=tuple(value))
            else:
                faults.append("meta.capabilities must be a list of non-empty strings")
        else:
            known = ", ".join(Meta.__dataclass_fields__)
            faults.append(f"meta.{name} is unknown; use {known}")
    return meta


def check_meta(metric: OpenMetric, answers: Sequence[str], meta: Meta) -> list[str]:
    """Return what ``metric`` lacks to score an item with these accepted answers, as faults."""
    if metric in ("vqa_soft", "vqa_majority"):
        if any(answer.strip() for answer in meta.annotators):
            return []
        if meta.annotators:
            return ["meta.annotators are all empty: no answer could be right"]
        return [f"{metric} needs meta.annotators: the answers of {ANNOTATORS} people"]
    if metric != "mathvista":
        return []
    if meta.choices:
        known = {choice.strip() for choice in meta.choices}
        return [
            f"answer {answer!r} is not one of meta.choices; give the choice's text, not its letter"
            for answer in answers
            if answer.strip() not in known
        ]
    if meta.answer_type is None:
        kinds = ", ".join(ANSWER_TYPES)
        return [f"mathvista needs meta.answer_type ({kinds}) or meta.choices"]
    faults: list[str] = []
    if meta.answer_type == "float" and meta.precision is None:
        faults.append("mathvista needs meta.precision beside answer_type float")
    for answer in answers:
        if meta.answer_type in ("integer", "float") and not _is_number(answer, meta.answer_type):
            faults.append(
                f"answer {answer!r} is no {meta.answer_type}, as meta.answer_type says;"
                " write it in plain digits"
            )
        if meta.answer_type == "list" and not (
            answer.strip().startswith("[") and answer.strip().endswith("]")
        ):
            faults.append(f"answer {answer!r} is no list: write it as '[1, 2]'")
    return faults


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_number(text: str, kind: AnswerType) -> bool:
    """Say whether a text is a number in plain ASCII digits, whole if ``kind`` is integer."""
    if _NUMBER.fullmatch(text.strip().lower()) is None:
        return False
    return kind == "float" or float(text).is_integer()
