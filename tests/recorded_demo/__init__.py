"""A run of the demo as it was recorded: eight checkpoints, two workers on a CPU, a broken picture.

A fifth of the demo's items were asked. Numbers are rounded to a millionth, paths and the machine's
name are replaced; all else is as the engine wrote it. Evidence and ranking are newer than the
recording: they are computed as the engine does.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from ctv_engine.service.tracking import Tracking
from ctv_engine.store.evidence import write_evidence
from ctv_engine.store.writer import Writer

RECORDING = Path(__file__).with_name("demo.jsonl.gz")
"""A line per table: its name, its columns, its rows."""


def write(path: Path) -> None:
    """Write the recording into a new database of the newest schema."""
    writer = Writer(path)
    with writer.transaction() as connection, gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        connection.execute("PRAGMA defer_foreign_keys = 1")
        for line in lines:
            table = json.loads(line)
            marks = ", ".join("?" * len(table["columns"]))
            connection.executemany(
                f"INSERT INTO {table['table']} ({', '.join(table['columns'])}) VALUES ({marks})",
                table["rows"],
            )
    tracking = Tracking(1, 8)
    found = tracking.compute(tracking.read(writer.connection))
    write_evidence(writer, 1, found.evidence, found.rankings)
    writer.close()
