"""Header, time line, devices, bars and histogram as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ctv_tui.data import Snapshot
from ctv_tui.data.balance import parts_of
from ctv_tui.data.snapshot import Device, Evaluation, Lane, LengthBin, Segment, Source, Timeline
from ctv_tui.widgets.balance import balance_rows
from ctv_tui.widgets.bars import bar_rows, histogram_rows
from ctv_tui.widgets.devices import device_rows
from ctv_tui.widgets.header import StatusData, status_line
from ctv_tui.widgets.lines import text_of
from ctv_tui.widgets.timeline import lane_pieces, timeline_body

LANE = Lane(
    1,
    "cuda:0",
    (
        Segment("load", 0.0, 2.0),
        Segment("prefill", 2.0, 4.0),
        Segment("decode", 4.0, 6.0),
    ),
    6.0,
    4.0,
)


def header(snapshot: Snapshot, now: float, width: int = 120) -> str:
    return text_of(status_line(StatusData(snapshot, None), now, width))


def test_the_header_says_what_is_going_on(snapshot: Snapshot, now: float) -> None:
    text = header(snapshot, now)
    for part in (
        "qwen-sft-3", "● scoring", "checkpoint-1000 · open 61 %", "left", "lag 1 checkpoint ",
        "heartbeat 2 s", "run.db",
    ):  # fmt: skip
        assert part in text
    assert len(text) == 120


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 160])
def test_the_header_keeps_state_and_heartbeat_at_every_width(
    snapshot: Snapshot, now: float, width: int
) -> None:
    text = header(snapshot, now, width)
    assert "● scoring" in text and "1000" in text and "61 %" in text
    assert "heartbeat 2 s" in text
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_dead_engine_and_a_lost_database_are_said_at_every_width(
    snapshot: Snapshot, now: float, width: int
) -> None:
    gone = replace(snapshot, source=Source("/x/run.db", "gone"))
    text = header(gone, now + 40.0, width)
    assert "dead (no heartbeat for 42 s)" in text and "database gone" in text


def test_a_lane_shows_kinds_and_waits_with_different_signs() -> None:
    (ended,) = parts_of([timeline("closed", "done")])
    (running,) = parts_of([timeline("closed", "running")])
    assert text_of(lane_pieces([(0.0, LANE)], ended, 1, 20)) == "▒▒▒▒▓▓▓▓████╱╱╱╱╱╱╱╱"
    assert text_of(lane_pieces([(0.0, LANE)], running, 1, 20)) == "▒▒▒▒▓▓▓▓████        "


def timeline(mode: str, state: str, lanes: int = 2, began_at: float = 0.0) -> Timeline:
    return Timeline(
        step=100,
        mode=mode,  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        extent_s=10.0,
        idle_fraction=0.2,
        makespan_s=10.0,
        ideal_s=8.0,
        lanes=tuple(replace(LANE, worker_id=n, device=f"cuda:{n}") for n in range(lanes)),
        began_at=began_at,
    )


def test_closed_and_open_stand_side_by_side_with_their_numbers() -> None:
    pair = [timeline("closed", "done"), timeline("open", "running", began_at=10.0)]
    rows = timeline_body(pair, 100, 8)
    text = [text_of(row) for row in rows]
    assert "closed 10.0 s" in text[0] and "idle 20 %" in text[0] and "running" in text[0]
    assert text[1].startswith(" cuda:0") and "4.00 s" in text[1] and "│" in text[1]
    assert "makespan/ideal 1.250" in text[3]
    assert "╱ wait" in text[4]


def test_more_workers_than_rows_are_counted() -> None:
    rows = timeline_body([timeline("closed", "done", lanes=16)], 80, 10)
    assert len(rows) == 10 and "10 more workers" in text_of(rows[-3])


def device(**changes: object) -> Device:
    base = Device(
        gpu_uuid="GPU-0a2b3c4d",
        host="node",
        workers=("cuda:0",),
        at=0.0,
        status="ok",
        reason=None,
        utilisation=97.0,
        memory_used=61_200_000_000,
        memory_total=80_000_000_000,
        power_w=388.0,
        temperature_c=61.0,
        sm_clock_mhz=1410.0,
        throttle=None,
        history=(90.0,) * 60,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_device_table_leaves_the_least_important_out() -> None:
    wide = text_of(device_rows([device()], 118, 5)[1])
    for part in ("cuda:0 GPU-0a2b3c4d", "97 %", "61.2/80.0 GB", "388 W", "61 °C", "1410 MHz"):
        assert part in wide
    narrow = text_of(device_rows([device()], 60, 5)[1])
    assert "97 %" in narrow and "61.2/80.0 GB" in narrow and "MHz" not in narrow


def test_a_lost_gpu_says_why_and_a_value_that_is_missing_is_a_dash() -> None:
    lost = device(status="lost", reason="GPU is lost")
    assert "GPU is lost" in text_of(device_rows([lost], 100, 5)[1])
    rows = device_rows([device(power_w=None), device()], 100, 5)
    assert " –" in text_of(rows[1])


def test_host_processes_have_no_columns_that_nothing_can_fill() -> None:
    host = device(
        gpu_uuid="cpu-0", status="host", workers=("cpu:0",), power_w=None, temperature_c=None,
        sm_clock_mhz=None, memory_used=900_000_000, memory_total=None,
    )  # fmt: skip
    head, row = (text_of(r) for r in device_rows([host], 100, 5))
    assert "power" not in head and row.startswith(" cpu:0 ") and "900 MB" in row


def test_the_balance_table(snapshot: Snapshot) -> None:
    rows = [text_of(r) for r in balance_rows(snapshot.evaluations[::-1], 118, 6)]
    assert "makespan" in rows[0] and "running" in rows[1] and "134/220" in rows[1]
    assert "1.049" in rows[2] and "4.6 %" in rows[2] and "╱" in rows[2]


def test_latency_bars_put_closed_above_open(snapshot: Snapshot) -> None:
    assert snapshot.latency is not None
    rows = [text_of(r) for r in bar_rows(snapshot.latency.rows[:2], 0.08, 118)]
    assert rows[1].lstrip().startswith("all items") and " C ▓" in rows[1] and "none" in rows[1]
    assert " O ▓" in rows[2] and "█" in rows[2] and "70.7 ms" in rows[2]


def test_the_histogram_has_counts_bars_and_bounds() -> None:
    bins = [LengthBin(1, 1, 2), LengthBin(2, 2, 0), LengthBin(3, 4, 8)]
    rows = [text_of(r) for r in histogram_rows(bins, 60, 6)]
    assert "8" in rows[0] and "█" in rows[1] and "█" in rows[4]
    assert rows[5].split() == ["1", "2", "3–4"]


def test_evaluations_that_have_not_begun_leave_a_sentence() -> None:
    none: list[Evaluation] = []
    assert "no evaluation has begun" in "".join(text_of(r) for r in balance_rows(none, 60, 5))
