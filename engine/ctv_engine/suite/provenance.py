"""Where each item of a suite comes from: ``provenance.jsonl`` beside the items, one object a line.

It is no part of the digest, which says what is asked, not who wrote it::

    {"dataset": "ChartQA", "key": "17", "source_file": "test.parquet", "source_row": 17,
     "converter": "rules", "models": {}, "prompts_hash": null}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PROVENANCE_FILE = "provenance.jsonl"


def write_provenance(directory: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the file anew; it is put in place when it is whole."""
    new = Path(directory) / f"{PROVENANCE_FILE}.new"
    with new.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    new.replace(Path(directory) / PROVENANCE_FILE)


def read_provenance(directory: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the provenance of each (dataset, key); nothing where the suite has no such file.

    Raises:
        ValueError: a line is not an object with dataset and key.
    """
    path = Path(directory) / PROVENANCE_FILE
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                found[row["dataset"], row["key"]] = row
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path} line {number}: not an item's provenance") from error
    return found
