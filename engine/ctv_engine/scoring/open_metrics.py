"""Open task: from stored text to a score in 0 … 1. Repeatable without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ctv_engine.scoring.anls import anls, anls_harness
from ctv_engine.scoring.exact import exact_match
from ctv_engine.scoring.mathvista import mathvista
from ctv_engine.scoring.relaxed import relaxed, relaxed_harness
from ctv_engine.scoring.vqa import vqa_majority, vqa_soft
from ctv_engine.suite import NO_META, Meta, OpenMetric, metric_defaults

__all__ = ["METRICS", "anls", "exact_match", "metric_defaults", "score_open"]

METRICS: dict[OpenMetric, Callable[[str, Sequence[str], Meta], float]] = {
    "exact_match": lambda text, answers, _: exact_match(text, answers),
    "anls": lambda text, answers, _: anls(text, answers),
    "anls_harness": lambda text, answers, _: anls_harness(text, answers),
    "relaxed": lambda text, answers, _: relaxed(text, answers),
    "relaxed_harness": lambda text, answers, _: relaxed_harness(text, answers),
    "mathvista": mathvista,
    "vqa_soft": lambda text, _, meta: vqa_soft(text, meta),
    "vqa_majority": lambda text, _, meta: vqa_majority(text, meta),
}


def score_open(
    metric: OpenMetric, text: str, answers: Sequence[str], meta: Meta = NO_META
) -> float | None:
    """Score ``text`` against the accepted answers with the named metric.

    An empty text is a wrong answer; an item without a text has no score and does not come here. Of
    ``judge`` the score is None: whoever has the judge asks it, see :mod:`ctv_engine.scoring.judge`.

    Raises:
        ValueError: ``meta`` lacks what the metric needs; every item of a suite that loads has it.
    """
    if metric == "judge":
        return None
    return METRICS[metric](text, answers, meta)
