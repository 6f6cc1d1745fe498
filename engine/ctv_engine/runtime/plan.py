"""The frozen batch plan: which prompts are answered together.

A plan depends on the suite, on the prompts' lengths under one processor and on the run's settings,
on nothing else. It is the same for every checkpoint and for any number of workers, so that neither
scheduling nor the number of devices can move a score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctv_engine.runtime.messages import Batch, Task
from ctv_engine.suite import Item, Suite

TAIL_SHARE = 0.25
"""The last share of a plan's work is cut into small batches, so that workers end together."""
TAIL_FINENESS = 4
"""How many times smaller the batches of the tail are."""

OPEN_ROUNDS = 4
"""How many times an open batch fills its decode slots: a large one refills them most evenly."""
OPEN_TAIL_SHARE, OPEN_TAIL_ROWS = 0.08, 2
"""The end of an open plan: as an answer's length is unknown, only tiny batches level it out."""

Lengths = Mapping[tuple[str, str], int]
"""Prompt tokens, image tokens included, by (dataset, key)."""


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


def cut_open(
    tokens: Sequence[int], *, slots: int, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """Cut units whose answers are decoded in ``slots`` rows; else as :func:`cut_batches`.

    There is no bound on tokens: prompts are prefilled as slots become free, a few at a time.
    """
    most = OPEN_ROUNDS * slots
    return cut_batches(
        tokens,
        token_budget=most * max(tokens, default=1),
        max_rows=most,
        rows=rows,
        tail_share=OPEN_TAIL_SHARE,
        tail_fineness=max(1, most // OPEN_TAIL_ROWS),
    )


def padding_share(batches: Sequence[Batch]) -> float:
    """Return the share of padding among the tokens that the batches put through the model."""
    processed = sum(max(batch.tokens) * len(batch.tokens) for batch in batches)
    real = sum(sum(batch.tokens) for batch in batches)
    return 1 - real / processed if processed else 0.0


def plan(
    suite: Suite,
    task: Task,
    lengths: Lengths,
    *,
    token_budget: int,
    max_rows: int,
    by_dataset: bool = False,
) -> tuple[Batch, ...]:
    """Plan one task of a suite.

    Closed prompts are batched across datasets, by length alone. Open answers and pairs are batched
    among datasets of one answer cap, so that a batch's cost is known from its cap. Questions about
    one picture stay together, next to each other, so that its prefix can be shared. With
    ``by_dataset`` no batch holds items of two datasets.

    Raises:
        KeyError: an item's length is missing.
    """
    datasets = {dataset.name: dataset for dataset in suite.datasets}
    asked = [
        item
        for item in sorted(suite.items, key=lambda item: (item.dataset, item.key))
        if task not in ("closed", "pair") or item.gold_index is not None
    ]
    kinds: dict[tuple[int, str], dict[str, list[Item]]] = {}
    for item in asked:
        cap = 0 if task == "closed" else datasets[item.dataset].max_new_tokens
        kind = (-cap, item.dataset if by_dataset else "")
        kinds.setdefault(kind, {}).setdefault(item.image_digest, []).append(item)
    batches: list[Batch] = []
    for kind in sorted(kinds):
        groups = list(kinds[kind].values())
        widths = [max(lengths[item.dataset, item.key] for item in group) for group in groups]
        heights = [len(group) for group in groups]
        for indices in (
            cut_batches(widths, token_budget=token_budget, max_rows=max_rows, rows=heights)
            if task == "closed"
            else cut_open(widths, slots=max_rows, rows=heights)
        ):
            items = tuple(item for index in indices for item in groups[index])
            batches.append(
                Batch(
                    batch_id=len(batches),
                    items=items,
                    datasets=tuple(datasets[item.dataset] for item in items),
                    suite_directory=suite.directory,
                    tokens=tuple(lengths[item.dataset, item.key] for item in items),
                )
            )
    return tuple(batches)
