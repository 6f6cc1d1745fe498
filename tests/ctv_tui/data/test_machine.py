"""The last minute of every device, whatever the driver, the clock and older files leave out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_items
import recorded_run

from ctv_engine.store.rows import SampleRow
from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.data.snapshot import Device, Missing
from ctv_tui.data.tail import Tail

SAMPLE = SampleRow(
    recorded_run.START, "GPU-0a2b3c4d", "node-7", 90.0, 1, 2, 300.0, 60.0, 1410.0, "", "ok"
)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[recorded_run.Recorder]:
    recorder = recorded_run.Recorder(tmp_path / "run.db")
    yield recorder
    recorder.close()


def devices(recorder: recorded_run.Recorder, *samples: SampleRow) -> tuple[Device, ...]:
    with recorder.at() as writer:
        writer.add_samples(samples)
    return read_snapshot(recorder.writer.path).devices


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, ()),
        ({"power_w": None, "reason": "power: Not Supported"}, (("power_w", "unsupported"),)),
        ({"power_w": None, "reason": "power: Function Not Found"}, (("power_w", "unsupported"),)),
        ({"power_w": None, "reason": "clock: Unknown Error"}, (("power_w", "unknown"),)),
        (
            {
                "temperature_c": None,
                "sm_clock_mhz": None,
                "reason": "temperature: Unknown Error; clock: Not Supported",
            },
            (("temperature_c", "failed"), ("sm_clock_mhz", "unsupported")),
        ),
        ({"utilisation": None, "reason": None}, (("utilisation", "unknown"),)),
    ],
)
def test_missing_values_are_told_apart(
    recorder: recorded_run.Recorder,
    change: dict[str, object],
    missing: tuple[tuple[str, Missing], ...],
) -> None:
    (found,) = devices(recorder, replace(SAMPLE, **change))  # type: ignore[arg-type]
    assert found.missing == missing


def test_columns_of_later_versions_are_used_where_they_are(
    recorder: recorded_run.Recorder,
) -> None:
    (before,) = devices(recorder, SAMPLE)
    assert before.power_limit_w is None and before.other_memory is None and before.model is None
    with recorder.writer.transaction() as connection:
        known = {row[1] for row in connection.execute("PRAGMA table_info(gpu_samples)")}
        for name, kind in (
            ("power_limit_w", "REAL"), ("unsupported", "TEXT"),
            ("other_processes", "INTEGER"), ("other_memory", "INTEGER"),
        ):  # fmt: skip
            if name not in known:
                connection.execute(f"ALTER TABLE gpu_samples ADD COLUMN {name} {kind}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS gpus (gpu_uuid TEXT, host TEXT, number INTEGER, name TEXT,"
            " driver TEXT, memory_total INTEGER, parent_uuid TEXT, mig INTEGER)"
        )
        connection.execute(
            "INSERT INTO gpus (gpu_uuid, host, number, name, mig)"
            " VALUES (?, 'node-7', 3, 'NVIDIA A100-SXM4-80GB', 0)",
            (SAMPLE.gpu_uuid,),
        )
        connection.execute(
            "UPDATE gpu_samples SET power_limit_w = 400.0, power_w = NULL, unsupported = 'power',"
            " other_processes = 1, other_memory = 5000"
        )
    (found,) = read_snapshot(recorder.writer.path).devices
    assert (found.power_limit_w, found.other_processes, found.other_memory) == (400.0, 1, 5000)
    assert (found.number, found.model) == (3, "NVIDIA A100-SXM4-80GB")
    assert found.missing == (("power_w", "unsupported"),)


def test_a_stretch_without_readings_is_a_gap_of_its_length(
    recorder: recorded_run.Recorder,
) -> None:
    rows = [replace(SAMPLE, at=SAMPLE.at + t, utilisation=float(t)) for t in (0, 1, 2, 7, 8)]
    (found,) = devices(recorder, *rows)
    assert found.history == (0.0, 1.0, 2.0, None, None, None, None, 7.0, 8.0)


def test_a_clock_that_is_set_back_begins_a_new_minute(recorder: recorded_run.Recorder) -> None:
    tail = Tail(recorder.writer.path)
    rows = [replace(SAMPLE, at=SAMPLE.at + 3600 + t) for t in range(5)]
    with recorder.at() as writer:
        writer.add_samples(rows)
    first = tail.poll()
    assert first is not None and len(first.devices[0].history) == 5
    with recorder.at() as writer:
        writer.add_samples([replace(SAMPLE, at=SAMPLE.at + t, utilisation=7.0) for t in range(3)])
    second = tail.poll()
    assert second is not None and second.devices[0].history == (7.0, 7.0, 7.0)
    tail.close()
    assert read_snapshot(recorder.writer.path).devices == second.devices


def test_a_device_that_falls_silent_stays_and_a_process_that_ended_goes(
    recorder: recorded_run.Recorder,
) -> None:
    host = replace(SAMPLE, gpu_uuid="cpu-0", status="host")
    other = replace(SAMPLE, gpu_uuid="GPU-1a2b3c4d")
    tail = Tail(recorder.writer.path)
    with recorder.at() as writer:
        writer.add_samples([SAMPLE, host, other])
    assert len(tail.poll().devices) == 3  # type: ignore[union-attr]
    with recorder.at() as writer:
        writer.add_samples([replace(other, at=SAMPLE.at + 300)])
    found = tail.poll()
    assert found is not None
    assert {d.gpu_uuid: d.at - SAMPLE.at for d in found.devices} == {
        SAMPLE.gpu_uuid: 0.0, other.gpu_uuid: 300.0,
    }  # fmt: skip
    tail.close()


def test_all_workers_that_had_a_device_are_known(items_recording: tuple[Path, float]) -> None:
    snapshot: Snapshot = read_snapshot(items_recording[0])
    ids = sqlite3.connect(items_recording[0]).execute(
        "SELECT id FROM workers WHERE gpu_uuid = ?", (recorded_items.uuid_of(5),)
    )
    found = next(d for d in snapshot.devices if d.gpu_uuid == recorded_items.uuid_of(5))
    assert found.worker_ids == tuple(row[0] for row in ids)
