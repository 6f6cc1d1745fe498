"""The frozen batch plan."""

from __future__ import annotations

from collections.abc import Sequence

from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.suite import Suite, closed_text, open_text

TAIL_SHARE = 0.25
"""The last share of a plan's work is cut into small batches, so that workers end together."""
TAIL_FINENESS = 4
"""How many times smaller the batches of the tail are."""


def cut_batches(
    tokens: Sequence[int],
    *,
    token_budget: int,
    max_rows: int,
    rows: Sequence[int] | None = None,
    tail_share: float = TAIL_SHARE,
    tail_fineness: int = TAIL_FINENESS,
) -> list[list[int]]:
    """Cut units into batches of similar length, the longest first, small ones at the end.

    Args:
        tokens: length of each unit's longest row.
        token_budget: the most tokens of a batch, padding included; a longer unit stands alone.
        max_rows: the most rows of a batch.
        rows: rows of each unit, 1 if not given; a unit is never divided.
        tail_share: share of the work, the shortest of it, that is cut into small batches.
        tail_fineness: how many times smaller these are.

    Returns:
        Indices into ``tokens``; every index once.

    Raises:
        ValueError: a limit is below 1.
    """
    if token_budget < 1 or max_rows < 1:
        raise ValueError(f"token_budget {token_budget} and max_rows {max_rows} must be positive")
    counts = rows if rows is not None else [1] * len(tokens)
    order = sorted(range(len(tokens)), key=lambda index: (-tokens[index], index))
    left = sum(tokens[index] * counts[index] for index in order)
    tail = left * tail_share
    batches: list[list[int]] = []
    batch: list[int] = []
    height = widest = 0
    for index in order:
        fineness = tail_fineness if left <= tail else 1
        if batch and (
            (height + counts[index]) * widest > max(1, token_budget // fineness)
            or height + counts[index] > max(1, max_rows // fineness)
        ):
            batches.append(batch)
            batch, height = [], 0
        if not batch:
            widest = tokens[index]
        batch.append(index)
        height += counts[index]
        left -= tokens[index] * counts[index]
    return [*batches, batch] if batch else batches


def plan(suite: Suite, task: Task, batch_size: int) -> tuple[Batch, ...]:
    """Cut a suite into batches of one dataset and similar length, longest first.

    Depends on the suite, the task and ``batch_size`` alone. A batch never mixes datasets, since
    pictures of one dataset tend to cost the same and its answers share a length cap.
    """
    batches: list[Batch] = []
    for dataset in suite.datasets:
        mine = [item for item in suite.items if item.dataset == dataset.name]
        if task == "closed":
            asked = [(closed_text(item), item) for item in mine if item.gold_index is not None]
        else:
            asked = [(open_text(item, dataset), item) for item in mine]
        asked.sort(key=lambda pair: (-len(pair[0]), pair[1].key))
        for start in range(0, len(asked), batch_size):
            part = asked[start : start + batch_size]
            batches.append(
                Batch(
                    batch_id=0,
                    items=tuple(item for _, item in part),
                    texts=tuple(text for text, _ in part),
                    suite_directory=suite.directory,
                    metric=dataset.open_metric,
                    max_new_tokens=dataset.max_new_tokens,
                )
            )
    batches.sort(key=lambda batch: -_expected_cost(batch, task))
    return tuple(
        Batch(
            number,
            batch.items,
            batch.texts,
            batch.suite_directory,
            batch.metric,
            batch.max_new_tokens,
        )
        for number, batch in enumerate(batches)
    )


def _expected_cost(batch: Batch, task: Task) -> int:
    """Characters to read and, in the open task, tokens that may be written."""
    widest = max(len(text) for text in batch.texts)
    return len(batch.items) * (widest + (8 * batch.max_new_tokens if task == "open" else 0))
