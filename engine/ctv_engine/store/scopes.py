"""What a correlation is over: ``macro``, ``pooled``, ``dataset:NAME``, of an imported series too.

An imported series that stands beside the run's own gold has the scopes ``imported:NAME:SCOPE``.
"""

from __future__ import annotations

from ctv_engine.store.rows import MACRO, POOLED

PREFIX = "imported:"
"""Before the name of an imported series, in scopes and in metrics."""
_DATASET = "dataset:"


def scope_of(dataset: str) -> str:
    """Return the scope of a dataset, ``macro`` or ``pooled``."""
    return dataset if dataset in (MACRO, POOLED) else _DATASET + dataset


def dataset_of(scope: str) -> str:
    """Return the name in ``scores`` of what a scope is over; that of an imported one is none."""
    return scope.removeprefix(_DATASET)


def parts(scope: str) -> tuple[str, str]:
    """Return the imported series' name (empty for the run's own gold) and the dataset.

    The dataset is ``macro``, ``pooled`` or a name; what is no scope at all is taken for a name.
    """
    if not scope.startswith(PREFIX):
        return "", dataset_of(scope)
    rest = scope.removeprefix(PREFIX)
    series, found, dataset = rest.partition(f":{_DATASET}")
    if found:
        return series, dataset
    series, _, dataset = rest.rpartition(":")
    return (series, dataset) if dataset in (MACRO, POOLED) else ("", scope)
