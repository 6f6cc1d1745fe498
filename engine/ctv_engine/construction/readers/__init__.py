"""Benchmarks on local disk, in the formats in which they are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ctv_engine.construction.readers.benchmarks import BENCHMARKS
from ctv_engine.construction.readers.files import FileSource
from ctv_engine.construction.source import SourceError

__all__ = ["BENCHMARKS", "DATASET_NAMES", "FileSource", "open_source"]

DATASET_NAMES: dict[str, str] = {
    "chartqa": "ChartQA",
    "infovqa": "InfoVQA",
    "docvqa": "DocVQA",
    "mathvista": "MathVista",
    "mmvet": "MMVet",
    "vizwiz": "VizWiz",
    "vmcbench": "VMCBench",
}
"""What the items' dataset is called unless the user says otherwise."""


def open_source(
    benchmark: str,
    path: Path,
    *,
    images: Path | None = None,
    columns: Mapping[str, str] | None = None,
    dataset: str | None = None,
) -> FileSource:
    """Open a benchmark's file, or the files of a folder.

    Args:
        benchmark: one of :data:`BENCHMARKS`; ``generic`` for data of one's own.
        path: a Parquet, TSV, JSON or JSON Lines file, or a folder of such.
        images: where pictures lie that are named by path; by default beside the file.
        columns: the column of each part, where it has another name than the published ones.
        dataset: what the items' dataset is called.

    Raises:
        SourceError: no such benchmark or file, or a column is missing (names the nearest).
    """
    if benchmark not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise SourceError(f"no benchmark is called {benchmark!r}; there are {known}")
    name = dataset or DATASET_NAMES.get(benchmark) or Path(path).stem
    return FileSource(BENCHMARKS[benchmark], Path(path), name, images, columns or {})
