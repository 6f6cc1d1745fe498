"""The header: every state can be told apart by mark, word and colour, at every width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ctv_tui.data import Snapshot
from ctv_tui.data.safe_text import cells
from ctv_tui.data.snapshot import Engine, Source
from ctv_tui.widgets.header import StatusData, TabBar, status_line
from ctv_tui.widgets.lines import text_of

SEVEN = ("Overview", "Trajectories", "GPUs", "Latency", "Correlation", "Items", "Events")


def header(snapshot: Snapshot, now: float, width: int = 120) -> str:
    return text_of(status_line(StatusData(snapshot, None), now, width))


def in_state(snapshot: Snapshot, state: str, now: float, age_s: float = 1.0) -> Snapshot:
    engine = Engine(1, "node-7", state, now - age_s, "0.1.0")  # type: ignore[arg-type]
    return replace(snapshot, engine=engine)


@pytest.mark.parametrize("width", [60, 80, 120, 160])
@pytest.mark.parametrize(
    ("state", "age_s", "seen"),
    [
        ("starting", 1.0, "◌ starting"),
        ("scoring", 1.0, "● scoring"),
        ("idle", 1.0, "○ idle"),
        ("paused", 1.0, "‖ paused"),
        ("stopping", 1.0, "□ stopping"),
        ("stopped", 1e6, "■ stopped"),
        ("scoring", 42.0, "× dead (no heartbeat for 42 s)"),
    ],
)
def test_engine_states(
    snapshot: Snapshot, now: float, state: str, age_s: float, seen: str, width: int
) -> None:
    line = status_line(StatusData(in_state(snapshot, state, now, age_s), None), now, width)
    text = text_of(line)
    assert seen in text and cells(text) == width
    marks = {seen[0] for seen in ("◌", "●", "○", "‖", "□", "■", "×")}
    assert sum(text.count(mark) for mark in marks) == 1


def test_states_differ_in_colour_too(snapshot: Snapshot, now: float) -> None:
    def role(state: str, age_s: float) -> str:
        line = status_line(StatusData(in_state(snapshot, state, now, age_s), None), now, 120)
        return next(role for text, role in line if text[:1] in "◌●○‖□■×")

    assert role("scoring", 1.0) == role("idle", 1.0) == "good"
    assert role("paused", 1.0) == role("starting", 1.0) == "warning"
    assert role("stopped", 1.0) == "dim"
    assert role("scoring", 100.0) == "error"


def test_idle_says_when_the_next_checkpoint_is_expected(snapshot: Snapshot, now: float) -> None:
    idle = in_state(snapshot, "idle", now)
    assert "idle, next checkpoint expected in" in header(idle, now)
    late = in_state(snapshot, "idle", now + 600)
    assert "idle, next checkpoint expected 10 min ago" in header(late, now + 600)
    none = replace(idle, checkpoints=())
    assert "idle, waiting for a checkpoint" in header(none, now)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("source", "seen"),
    [
        (Source("/x/run.db", "waiting"), "waiting for the database"),
        (Source("/x/run.db", "gone"), "database gone"),
        (Source("/x/run.db", "locked"), "database locked, retrying"),
        (Source("/x/run.db", "newer"), "database from a newer version"),
        (Source("/x/run.db", "unreadable"), "database can't be read"),
        (Source("/x/run.db", "ok", archived=True), "archived run"),
    ],
)
def test_states_of_the_database(
    snapshot: Snapshot, now: float, source: Source, seen: str, width: int
) -> None:
    assert seen in header(replace(snapshot, source=source), now, width)
    replaced = replace(snapshot, source=Source("/x/run.db", "ok", replaced_at=now - 5))
    assert "database replaced, reopened" in header(replaced, now, width)


@pytest.mark.parametrize("width", [60, 74, 80, 120, 160])
@pytest.mark.parametrize("active", SEVEN)
def test_the_tab_bar_names_the_active_tab_and_keeps_its_note(width: int, active: str) -> None:
    bar = TabBar([(name.lower(), name) for name in SEVEN])
    bar._active = active.lower()
    bar._note = ((" paused 12 s ", "selected"),)
    text = text_of(bar.paint(width, 1)[0])
    assert cells(text) == width and "…" not in text
    assert active in text and "paused 12 s" in text
    assert [number for number in "1234567" if number in text] == list("1234567")
    for start, end, key in bar._spans:
        assert text[start:end].strip() in (
            f"{[n.lower() for n in SEVEN].index(key) + 1} {key.title().replace('Gpus', 'GPUs')}",
            str([n.lower() for n in SEVEN].index(key) + 1),
        )
