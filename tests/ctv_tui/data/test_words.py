"""States and quantities in words."""

from __future__ import annotations

import pytest

from ctv_tui.data import words
from ctv_tui.data.snapshot import Engine, Snapshot, Source


def snapshot_with(engine: Engine | None) -> Snapshot:
    return Snapshot(Source("run.db", "ok"), 1000.0, engine=engine)


@pytest.mark.parametrize(
    ("state", "age_s", "word", "phrase"),
    [
        ("scoring", 1.0, "scoring", "scoring"),
        ("idle", 15.0, "idle", "idle"),
        ("scoring", 42.0, "dead", "dead (no heartbeat for 42 s)"),
        ("idle", 7200.0, "dead", "dead (no heartbeat for 2 h)"),
        ("stopped", 1e6, "stopped", "stopped"),
        ("paused", -30.0, "paused", "paused"),
    ],
)
def test_an_engine_is_dead_without_a_heartbeat_for_15_s(
    state: str, age_s: float, word: str, phrase: str
) -> None:
    engine = Engine(1, "host", state, 1000.0 - age_s, "0.1.0")  # type: ignore[arg-type]
    view = words.engine_view(snapshot_with(engine), 1000.0)
    assert (view.word, view.phrase) == (word, phrase)
    assert view.age_s == max(0.0, age_s)


def test_no_engine_row_is_a_state_of_its_own() -> None:
    assert words.engine_view(snapshot_with(None), 0.0).word == "absent"


@pytest.mark.parametrize(
    ("source", "phrase"),
    [
        (Source("r", "ok"), ""),
        (Source("r", "ok", archived=True), "archived run"),
        (Source("r", "ok", replaced_at=990.0), "database replaced, reopened"),
        (Source("r", "ok", replaced_at=900.0), ""),
        (Source("r", "gone"), "database gone"),
        (Source("r", "locked"), "database locked, retrying"),
        (Source("r", "newer"), "database from a newer version"),
    ],
)
def test_what_is_wrong_with_the_database_is_said(source: Source, phrase: str) -> None:
    assert words.source_phrase(source, 1000.0) == phrase


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.0123, "12.3 ms"),
        (1.4, "1.40 s"),
        (250.0, "250 s"),
        (5e-5, "50.0 µs"),
    ],
)
def test_small_seconds(seconds: float | None, text: str) -> None:
    assert words.small_seconds(seconds) == text
