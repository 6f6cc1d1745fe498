"""Whatever a database holds is shown sanely: on every tab, at every size."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_run
from driving import SIZES, app_showing, settled

from ctv_tui.app import TABS
from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.data.safe_text import cells
from ctv_tui.data.snapshot import Event

WIDE = "数据集" * 20
COMBINING = "e" + "\u0301" * 40
ZERO_WIDTH = "a\u200bb\u200dc\u2060d\ufeff"
RIGHT_TO_LEFT = "\u202eabc\u2066def\u2069 שלום"
MARKUP = "[bold red on blue]x[/] [link=file:///etc/passwd]y[/link] {$x} [@click=app.quit]q[/]"
LONG = "x" * 100_000
TEXTS = (recorded_run.HOSTILE, WIDE, COMBINING, ZERO_WIDTH, RIGHT_TO_LEFT, MARKUP, LONG, "", "\t\n")


async def every_tab(snapshot: Snapshot, now: float, size: tuple[int, int]) -> dict[str, str]:
    """The text of every tab, checked for what no tab may ever show."""
    app = app_showing(snapshot, now)
    shown = {}
    async with app.run_test(size=size) as pilot:
        for tab, _ in TABS:
            app.tab = tab
            text = await settled(pilot)
            controls = {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
            assert not controls, (tab, controls)
            assert "nan" not in text.lower().split() and "inf" not in text.lower().split(), tab
            assert len(text.splitlines()) == size[1]
            shown[tab] = text
        assert app.is_running
    return shown


def recorder_with(path: Path, **settings: object) -> recorded_run.Recorder:
    return recorded_run.Recorder(path, **settings)  # type: ignore[arg-type]


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Callable[[recorded_run.Recorder], Snapshot]]:
    def read(recorder: recorded_run.Recorder) -> Snapshot:
        recorder.beat()
        recorder.close()
        at = recorder.clock.now + 2.0
        return replace(read_snapshot(recorder.writer.path), read_at=at)

    yield read


Finish = Callable[[recorded_run.Recorder], Snapshot]


@pytest.mark.parametrize("size", [(60, 16), *SIZES])
async def test_text_that_wants_to_steer_the_terminal(
    snapshot: Snapshot, now: float, size: tuple[int, int]
) -> None:
    events = tuple(
        Event(n, now - 60 + n, "warning", text[:50], text, None) for n, text in enumerate(TEXTS, 1)
    )
    assert snapshot.run is not None
    run = replace(snapshot.run, name=RIGHT_TO_LEFT + WIDE)
    devices = tuple(
        replace(d, workers=(MARKUP,), reason=recorded_run.HOSTILE, status=status)
        for d, status in zip(snapshot.devices, ("ok", "lost"), strict=True)
    )
    hostile = replace(snapshot, run=run, events=events, devices=devices)
    shown = await every_tab(hostile, now, size)
    assert "\\u202e" in shown["overview"].splitlines()[0]
    assert "[bold red" in shown["events"]
    for row in shown["events"].splitlines():
        assert cells(row) == size[0]


async def test_a_hundred_datasets(tmp_path: Path, finished: Finish) -> None:
    recorder = recorder_with(tmp_path / "run.db", datasets=[f"dataset-{n:03d}" for n in range(100)])
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed", batch=1000)
    shown = await every_tab(finished(recorder), recorder.clock.now + 2, (120, 40))
    assert "dataset-000" in shown["overview"] and "more" in shown["overview"]


@pytest.mark.parametrize("size", SIZES)
async def test_one_checkpoint_only(tmp_path: Path, finished: Finish, size: tuple[int, int]) -> None:
    recorder = recorder_with(tmp_path / "run.db")
    recorder.add_checkpoint(100)
    for mode in ("closed", "open", "gold"):
        recorder.evaluate(100, mode)  # type: ignore[arg-type]
    recorder.correlate(100)
    recorder.weigh()
    shown = (await every_tab(finished(recorder), recorder.clock.now + 2, size))["overview"]
    assert "best closed step 100" in shown and "only" in shown
    assert "▲" not in shown.split("latest events")[0] and "▼" not in shown


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_without_gold(tmp_path: Path, finished: Finish, size: tuple[int, int]) -> None:
    recorder = recorder_with(tmp_path / "run.db")
    for step in (100, 200, 300):
        recorder.add_checkpoint(step)
        recorder.evaluate(step, "closed")
        recorder.evaluate(step, "open")
    shown = (await every_tab(finished(recorder), recorder.clock.now + 2, size))["overview"]
    assert re.search(r" gold +– ", shown) and re.search(r" best gold +– ", shown)
    assert re.search(r" r closed +– ", shown)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 1e300, -5.0])
async def test_scores_that_are_no_scores(
    snapshot: Snapshot, now: float, value: float | None
) -> None:
    spoiled = tuple(
        replace(
            t,
            points=tuple(
                replace(p, value=value, stderr=value) if n % 3 == 2 else p
                for n, p in enumerate(t.points)
            ),
        )
        for t in snapshot.trajectories
    )
    shown = await every_tab(replace(snapshot, trajectories=spoiled), now, (120, 40))
    assert "macro mean" in shown["overview"]


@pytest.mark.parametrize("by", [-86_400.0 * 400, -3600.0, 3600.0, 86_400.0 * 400, 1e15])
async def test_a_clock_that_jumps(snapshot: Snapshot, now: float, by: float) -> None:
    shown = await every_tab(replace(snapshot, read_at=now + by), now + by, (120, 40))
    first = shown["overview"].splitlines()[0]
    assert ("scoring" in first) if by < 0 else ("dead (no heartbeat for" in first)
