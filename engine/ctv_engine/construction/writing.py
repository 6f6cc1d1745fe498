"""The suite that a build makes: what is kept, with the provenance of each item beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ctv_engine.construction.journal import Draft, Journal, JournalError, State
from ctv_engine.suite import Dataset, DraftItem, Suite, write_suite
from ctv_engine.suite.provenance import write_provenance


def write_kept(
    directory: Path, name: str, datasets: Iterable[Dataset], kept: Sequence[Draft]
) -> Suite:
    """Write a suite of kept drafts with the provenance of each, over an earlier one.

    Raises:
        SuiteError: what was made is no suite.
    """
    used = {draft.dataset for draft in kept}
    ordered = sorted(kept, key=lambda draft: (draft.dataset, draft.origin.file, draft.origin.row))
    suite = write_suite(
        directory,
        name=name,
        kind="paired",
        datasets=[dataset for dataset in datasets if dataset.name in used],
        items=(
            DraftItem(
                dataset=draft.dataset,
                key=draft.key,
                question=draft.question,
                image=draft.image,
                answers=draft.answers,
                options=draft.options,
                gold_index=draft.gold_index,
                meta=draft.meta,
            )
            for draft in ordered
        ),
        replace_old=True,
    )
    write_provenance(directory, map(_provenance, ordered))
    return suite


def write_from_journal(directory: Path) -> Suite | None:
    """Write the suite anew from a journal, as after a review; None where nothing is kept.

    Raises:
        JournalError: no build there, or none that has been written before.
        SuiteError: what was made is no suite.
    """
    journal = Journal(directory)
    try:
        name, datasets = journal.setting("name"), journal.setting("datasets")
        if datasets is None:
            raise JournalError(f"{directory}: nothing was kept yet; run ctv-tui suite build first")
        kept = list(journal.drafts(State.KEPT))
        made = [Dataset(**entry) for entry in datasets]
        return write_kept(directory, name, made, kept) if kept else None
    finally:
        journal.close()


def stated(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset's settings as the journal keeps them for :func:`write_from_journal`."""
    return {
        "name": dataset.name,
        "open_metric": dataset.open_metric,
        "max_new_tokens": dataset.max_new_tokens,
        "open_instruction": dataset.open_instruction,
    }


def _provenance(draft: Draft) -> dict[str, Any]:
    return {
        "dataset": draft.dataset,
        "key": draft.key,
        "source_file": draft.origin.file,
        "source_row": draft.origin.row,
        **draft.provenance,
    }
