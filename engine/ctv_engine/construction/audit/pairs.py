"""Do the closed and the open form of an item agree on what is right?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ctv_engine.construction.audit.likeness import normalised, value_of
from ctv_engine.construction.audit.options import ItemCheck
from ctv_engine.construction.audit.settings import AuditSettings
from ctv_engine.construction.audit.verdicts import Verdict
from ctv_engine.scoring.anls import anls
from ctv_engine.scoring.open_metrics import METRICS, score_open
from ctv_engine.scoring.relaxed import relaxed
from ctv_engine.suite import Dataset, Item

JUDGED = "judge"
"""The metric that asks a language model; an audit asks none, it compares texts and values."""

ACCEPTS = {"vqa_soft": 0.6}
"""Score from which a metric takes a text for right, if not from 1: two of ten people said it.

ANLS gives part of the score to every text half of whose letters fit, so that numbers of one format
all get some; it takes for right what it gives the whole.
"""

_ROUNDING = 1e-9
_MARK = re.compile(r"<(?:AND|OR)>", re.IGNORECASE)


def accepted(text: str, item: Item, dataset: Dataset) -> bool:
    """Whether the dataset's open metric takes the text for right, as an answer to the item."""
    return _credit(text, item, dataset) >= ACCEPTS.get(dataset.open_metric, 1.0) - _ROUNDING


def _credit(text: str, item: Item, dataset: Dataset) -> float:
    """Return the open metric's score of a text; of a judge's 1 for equal, 0.5 for contained."""
    if _is_judged(dataset):
        return max((_judged(text, answer) for answer in item.answers), default=0.0)
    return score_open(dataset.open_metric, text, item.answers, item.meta) or 0.0


def _is_judged(dataset: Dataset) -> bool:
    return str(dataset.open_metric) == JUDGED or dataset.open_metric not in METRICS


def _judged(text: str, answer: str) -> float:
    """Compare with an answer of MM-Vet's form: alternatives by ``<OR>``, parts by ``<AND>``."""
    given = normalised(_MARK.sub(" ", text))
    best = 0.0
    for alternative in re.split(r"<OR>", answer, flags=re.IGNORECASE):
        parts = re.split(r"<AND>", alternative, flags=re.IGNORECASE)
        wanted = [normalised(part) for part in parts if part.strip()]
        if not wanted:
            continue
        if given == " ".join(wanted) or _same_value(text, alternative):
            return 1.0
        if all(_holds(given, part) for part in wanted) or _holds(" ".join(wanted), given):
            best = 0.5
    return best


def _same_value(one: str, other: str) -> bool:
    mine, theirs = value_of(one), value_of(other)
    return mine is not None and theirs is not None and mine.equals(theirs)


def _holds(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "


def _distractors(item: Item) -> Iterator[str]:
    return (text for place, text in enumerate(item.options) if place != item.gold_index)


def _accepted_distractor(item: Item, dataset: Dataset, _: AuditSettings) -> str | None:
    told = [text for text in _distractors(item) if accepted(text, item, dataset)]
    if not told:
        return None
    return f"{dataset.open_metric} accepts {_quoted(told)}; accepted are {_quoted(item.answers)}"


def _near_distractor(item: Item, dataset: Dataset, _: AuditSettings) -> str | None:
    told: list[str] = []
    for text in _distractors(item):
        if accepted(text, item, dataset):
            continue
        credit = _credit(text, item, dataset)
        near = [f"{dataset.open_metric} {credit:.2g}"] if credit > 0 else []
        if dataset.open_metric != "anls" and (score := anls(text, item.answers)) > 0:
            near.append(f"anls {score:.2g}")
        if dataset.open_metric != "relaxed" and relaxed(text, item.answers):
            near.append("within 5 %")
        if near:
            told.append(f"{text!r} ({', '.join(near)})")
    return f"near {_quoted(item.answers)}: {', '.join(told)}" if told else None


def _refused_key(item: Item, dataset: Dataset, _: AuditSettings) -> str | None:
    key = _key(item)
    if _credit(key, item, dataset) > 0:
        return None
    return f"{dataset.open_metric} refuses the key {key!r}; accepted are {_quoted(item.answers)}"


def _partial_key(item: Item, dataset: Dataset, _: AuditSettings) -> str | None:
    key = _key(item)
    credit = _credit(key, item, dataset)
    if _is_judged(dataset) or credit <= 0 or accepted(key, item, dataset):
        return None
    return f"{dataset.open_metric} gives the key {key!r} {credit:.2g}"


def _key(item: Item) -> str:
    assert item.gold_index is not None
    return item.options[item.gold_index]


def _quoted(texts: Sequence[str]) -> str:
    shown = ", ".join(map(repr, texts[:3]))
    return f"{shown} and {len(texts) - 3} more" if len(texts) > 3 else shown


PAIR_CHECKS = (
    ItemCheck(
        "accepted-distractor",
        Verdict.FAIL,
        "with a distractor that the open metric accepts",
        _accepted_distractor,
    ),
    ItemCheck(
        "near-distractor",
        Verdict.WARN,
        "with a distractor that gets part of the score, is within 5 % or has ANLS from 0.5 on",
        _near_distractor,
    ),
    ItemCheck(
        "refused-key", Verdict.FAIL, "whose key the open metric does not accept", _refused_key
    ),
    ItemCheck(
        "partial-key", Verdict.WARN, "whose key gets only part of the open score", _partial_key
    ),
)
