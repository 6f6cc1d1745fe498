"""The frozen batch plan."""

from __future__ import annotations

from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.suite import Suite, closed_text, open_text


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
