"""Readings of devices by the minute: what is kept of every column, when, and what it costs."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.store.rows import GpuRow, SampleRow
from ctv_engine.store.writer import RAW_SAMPLES_KEPT_S, Writer

MEASURES = (
    "utilisation",
    "memory_used",
    "power_w",
    "temperature_c",
    "sm_clock_mhz",
    "power_limit_w",
    "other_memory",
    "pcie_rx_bytes_s",
    "pcie_tx_bytes_s",
)
LEVELS = ("memory_total", "processes", "other_processes", "ecc_corrected", "ecc_uncorrected")
START = 60.0 * 1000
EMPTY = SampleRow(START, "GPU-1", "h", None, None, None, None, None, None, None, "ok")


def the_minute(book: Any, bucket: int = 1000, uuid: str = "GPU-1") -> dict[str, Any]:
    connection = book.writer.connection
    connection.row_factory = sqlite3.Row
    sql = "SELECT * FROM gpu_minutes WHERE bucket = ? AND gpu_uuid = ?"
    row = connection.execute(sql, (bucket, uuid)).fetchone()
    connection.row_factory = None
    return dict(row)


def test_every_measure_has_its_mean_least_and_most(book: Any) -> None:
    """Every column of every reading has a value of its own, so that none is taken for another."""
    rng = random.Random(7)
    samples = []
    for second in range(60):
        values = {name: rng.randrange(10**place, 10 ** (place + 1)) for place, name in
                  enumerate(MEASURES + LEVELS)}  # fmt: skip
        samples.append(replace(EMPTY, at=START + second, throttle="", **values))
    book.writer.add_samples(samples)
    book.writer.fold_samples(START + 60)
    minute = the_minute(book)
    for name in MEASURES:
        series = [getattr(sample, name) for sample in samples]
        assert minute[f"{name}_mean"] == pytest.approx(statistics.fmean(series))
        assert (minute[f"{name}_min"], minute[f"{name}_max"]) == (min(series), max(series))
    for name in LEVELS:
        assert minute[f"{name}_max"] == max(getattr(sample, name) for sample in samples)
    named = {f"{name}_{how}" for name in MEASURES for how in ("mean", "min", "max")}
    named |= {f"{name}_max" for name in LEVELS}
    others = {"gpu_uuid", "bucket", "host", "n", "answered_n", "throttled", "throttle"}
    assert set(minute) == named | others, "no column is forgotten"


def test_slow_readings_count_where_they_were_made(book: Any) -> None:
    slow = [replace(EMPTY, at=START + n, processes=n, pcie_rx_bytes_s=n) for n in (3, 13, 23)]
    fast = [replace(EMPTY, at=START + n + 0.5) for n in range(60)]
    book.writer.add_samples(slow + fast)
    book.writer.fold_samples(START + 60)
    minute = the_minute(book)
    assert (minute["n"], minute["processes_max"]) == (63, 23)
    assert minute["pcie_rx_bytes_s_mean"] == (3 + 13 + 23) / 3


def test_what_held_the_clocks_down_and_for_how_long(book: Any) -> None:
    words = ["", "power", "power", "", "hot", None, None, ""]
    book.writer.add_samples(
        [replace(EMPTY, at=START + n, throttle=word) for n, word in enumerate(words)]
    )
    book.writer.fold_samples(START + 60)
    minute = the_minute(book)
    assert minute["throttled"] == 3 / 6, "readings without the field count neither way"
    assert set(minute["throttle"].split(",")) == {"power", "hot"}


@pytest.mark.parametrize(
    ("statuses", "answered"),
    [
        (["ok", "ok", "ok"], 3),
        (["host", "host"], 2),
        (["ok", "lost", "error"], 1),
        (["lost", "lost"], 0),
        (["no driver"], 0),
    ],
)
def test_a_minute_tells_a_lost_device_from_one_that_lacks_a_field(
    book: Any, statuses: list[Any], answered: int
) -> None:
    book.writer.add_samples(
        [replace(EMPTY, at=START + n, status=status) for n, status in enumerate(statuses)]
    )
    book.writer.fold_samples(START + 60)
    minute = the_minute(book)
    assert (minute["n"], minute["answered_n"]) == (len(statuses), answered)
    assert minute["utilisation_mean"] is None
    assert minute["throttled"] is None and minute["throttle"] is None


def test_after_the_clock_was_set_back_new_minutes_are_kept_and_old_ones_stay(book: Any) -> None:
    def add(at: float, value: float) -> None:
        book.writer.add_samples([replace(EMPTY, at=at, utilisation=value)])

    add(START + 5, 10.0)
    book.writer.fold_samples(START + 60)
    add(START + 3600 + 5, 20.0)
    book.writer.fold_samples(START + 3660)  # an hour too late, as the clock now learns
    add(START + 65, 30.0)
    add(START + 130, 40.0)
    book.writer.fold_samples(START + 180)
    add(START + 3600 + 9, 99.0)  # this minute is there already
    book.writer.fold_samples(START + 3720)
    kept = book.query("SELECT bucket, utilisation_mean FROM gpu_minutes ORDER BY bucket")
    assert kept == [(1000, 10.0), (1001, 30.0), (1002, 40.0), (1060, 20.0)]


def test_a_minute_whose_storing_failed_is_folded_the_next_time(
    book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.writer.add_samples([replace(EMPTY, at=START + 5, utilisation=10.0)])
    real = Writer.transaction

    @contextmanager
    def failing(self: Writer) -> Iterator[sqlite3.Connection]:
        with real(self) as connection:
            yield connection
            raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "transaction", failing)
        with pytest.raises(sqlite3.OperationalError):
            book.writer.fold_samples(START + 60)
    assert book.query("SELECT count(*) FROM gpu_minutes") == [(0,)]
    book.writer.fold_samples(START + 120)
    assert book.query("SELECT bucket, n FROM gpu_minutes") == [(1000, 1)]


def test_what_a_gpu_is_is_replaced_by_what_is_known_later(book: Any) -> None:
    first = GpuRow("GPU-1", "h", 0, "unknown GPU")
    known = GpuRow("GPU-1", "h", 0, "NVIDIA A100", "570.12", 80 * 2**30)
    part = GpuRow("MIG-2", "h", 0, "NVIDIA A100 MIG 1g", "570.12", 5 * 2**30, "GPU-1")
    book.writer.add_gpus([first])
    book.writer.add_gpus([known, part])
    book.writer.add_gpus([])
    rows = book.query("SELECT gpu_uuid, host, number, name, driver, memory_total, parent_uuid, mig"
                      " FROM gpus ORDER BY gpu_uuid")  # fmt: skip
    assert rows == [
        ("GPU-1", "h", 0, "NVIDIA A100", "570.12", 80 * 2**30, None, 0),
        ("MIG-2", "h", 0, "NVIDIA A100 MIG 1g", "570.12", 5 * 2**30, "GPU-1", 0),
    ]


# --- size ---------------------------------------------------------------------------------------

GPUS = 16
LIMIT_BYTES = 100e6


def bytes_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0]
                   for name in ("page_count", "freelist_count"))  # fmt: skip
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    return int((pages - free) * size)


def readings_of(second: int, number: int, rng: random.Random) -> SampleRow:
    """Return a reading as long as they get: no round numbers, throttled, one field less."""
    slow: dict[str, Any] = {}
    if second % 10 == number % 10:
        slow = {
            "processes": 3,
            "other_processes": 2,
            "other_memory": rng.randrange(2**30, 2**36),
            "ecc_corrected": rng.randrange(2**20),
            "ecc_uncorrected": rng.randrange(2**10),
            "pcie_rx_bytes_s": rng.randrange(2**34),
            "pcie_tx_bytes_s": rng.randrange(2**34),
        }
    return SampleRow(
        at=START + second + rng.random(),
        gpu_uuid=f"GPU-{number:08x}-1111-2222-3333-444455556666",
        host="gpu-node-0123.cluster.example.org",
        utilisation=rng.randrange(101),
        memory_used=rng.randrange(2**36),
        memory_total=80 * 2**30,
        power_w=rng.randrange(400_000) / 1000,
        temperature_c=rng.randrange(90),
        sm_clock_mhz=rng.randrange(1980),
        throttle=rng.choice(["", "power", "power, hot"]),
        status="ok",
        reason="clock: Not Supported",
        unsupported="clock",
        power_limit_w=400.0,
        **slow,
    )


def test_a_week_of_sixteen_gpus_stays_under_100_megabytes(tmp_path: Path) -> None:
    """A raw hour and a day of minutes in a real file; seven such days and the hour are the week."""
    path = tmp_path / "run.db"
    writer = Writer(path)
    writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    empty = bytes_of(path)
    rng = random.Random(1)
    hour = int(RAW_SAMPLES_KEPT_S)
    for second in range(0, hour, 60):
        writer.add_samples(
            [readings_of(s, n, rng) for s in range(second, second + 60) for n in range(GPUS)]
        )
    before = time.process_time()
    writer.fold_samples(START + hour)
    fold_s = time.process_time() - before
    assert writer.query("SELECT count(*) FROM gpu_samples") == [(hour * GPUS,)]
    assert writer.query("SELECT count(*) FROM gpu_minutes") == [(60 * GPUS,)]
    writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw_and_hour = bytes_of(path)
    columns = [row[1] for row in writer.query("PRAGMA table_info(gpu_minutes)")]
    later = ", ".join("bucket + 60 * {n}" if c == "bucket" else c for c in columns)
    for n in range(1, 24):
        writer.connection.execute(
            f"INSERT INTO gpu_minutes SELECT {later.format(n=n)} FROM gpu_minutes"
            " WHERE bucket < 1060"
        )
    assert writer.query("SELECT count(*) FROM gpu_minutes") == [(24 * 60 * GPUS,)]
    writer.close()
    day = (bytes_of(path) - raw_and_hour) * 24 / 23
    raw = raw_and_hour - empty - day / 24
    week = raw + 7 * day
    print(f"raw hour {raw / 1e6:.1f} MB, day {day / 1e6:.1f} MB, week {week / 1e6:.1f} MB")
    assert raw > 0 and day > 0
    assert week < LIMIT_BYTES
    assert fold_s < 5.0, "an hour at once, as after a restart"


def test_processes_that_are_called_alike_on_two_machines_keep_minutes_of_their_own(
    book: Any,
) -> None:
    samples = [
        replace(EMPTY, at=START + second, gpu_uuid="cpu-0", host=host, utilisation=busy)
        for second in range(60)
        for host, busy in (("a", 20.0), ("b", 80.0))
    ]
    book.writer.add_samples(samples)
    book.writer.fold_samples(START + 60)
    found = book.query("SELECT host, n, utilisation_mean FROM gpu_minutes ORDER BY host")
    assert found == [("a", 60, 20.0), ("b", 60, 80.0)]
