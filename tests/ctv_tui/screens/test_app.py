"""The dashboard driven by keys and clicks, at the sizes that it promises."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_run
from driving import SIZES, app_showing, screen_text, settled

from ctv_tui.app import TABLE, TABS, Dashboard, SnapshotRead
from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.data.snapshot import Source
from ctv_tui.data.summary import summary
from ctv_tui.screens.actions import ACTIONS
from ctv_tui.theme import ANSI, LIGHT
from ctv_tui.widgets.painted import Painted

SEEN = {
    "overview": ["0.557 ±0.034", "▼ −0.008", "+0.81 [+0.24, +0.96] n=8", "cuda:1", "9.3 %"],
    "trajectories": ["macro mean", "ChartQA", "VizWiz", "C ─●─ closed", "○ ◇ ~ not complete"],
    "gpus": ["time line · checkpoint-1000", "cuda:1", "idle 4.6 %", "61.2/80.0 GB", "134/220"],
    "latency": ["79 % cheaper than open", "all items", "70.7 ms", "output tokens", "17–32"],
    "events": ["9 % of the open answers hit the li", "checkpoint-1100 is ready", "13 of 13"],
    "correlation": ["25 of 28", "r of closed with gold", "+0.81 [+0.24, +0.96] n=8", "VizWiz"],
    "items": ["f filter all", "d dataset all", "reading…"],
}


@pytest.mark.parametrize("size", SIZES)
async def test_every_tab_shows_its_values(
    snapshot: Snapshot, now: float, size: tuple[int, int]
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=size) as pilot:
        for number, (tab, _) in enumerate(TABS, 1):
            await pilot.press(str(number))
            text = await settled(pilot)
            for part in [*SEEN[tab], "● scoring", "heartbeat 2 s", "qwen-sft-3"]:
                assert part in text, (tab, part)
            assert len(text.splitlines()) == size[1]


@pytest.mark.parametrize("size", SIZES)
async def test_no_word_is_cut_in_a_frame_or_header(
    snapshot: Snapshot, now: float, size: tuple[int, int]
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=size) as pilot:
        for tab, _ in TABS:
            app.tab = tab
            await settled(pilot)
            titles = [row for row in screen_text(app).splitlines() if "┌" in row or "●" in row]
            assert not [row for row in titles if "…" in row]


async def test_a_terminal_that_is_too_small_says_so_and_recovers(
    snapshot: Snapshot, now: float
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(50, 12)) as pilot:
        await settled(pilot)
        words = " ".join(screen_text(app).split())
        assert words == "terminal too small: needs 60×16, has 50×12"
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert "macro mean" in screen_text(app)


async def test_the_smallest_size_works(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(60, 16)) as pilot:
        for tab, _ in TABS:
            app.tab = tab
            await settled(pilot)
            assert "● scoring" in screen_text(app)


async def test_moving_selects_a_dataset_for_the_single_chart(
    snapshot: Snapshot, now: float
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "j", "down")
        await settled(pilot)
        assert "▸ DocVQA" in screen_text(app) and "┌─ DocVQA ─" in screen_text(app)
        await pilot.press("k")
        await settled(pilot)
        assert "▸ ChartQA" in screen_text(app)
        await pilot.press("G")
        await settled(pilot)
        assert "▸ VizWiz" in screen_text(app)
        await pilot.click("#dataset-list", offset=(6, 2))
        await settled(pilot)
        assert "▸ macro mean" in screen_text(app)


async def test_a_click_on_its_name_opens_a_tab(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        bar = app.query_one("#tabs", Painted)
        await pilot.click("#tabs", offset=(bar.painted_text().index("Latency"), 0))
        await settled(pilot)
        assert app.tab == "latency"
        await pilot.press("shift+tab")
        assert app.tab == "gpus"
        await pilot.press(*["tab"] * (len(TABS) - 1))
        assert app.tab == "trajectories"


async def test_pause_stops_painting_but_not_reading(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    assert snapshot.run is not None
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        before = screen_text(app)
        await pilot.press("space")
        later = replace(
            snapshot,
            trajectories=tuple(
                replace(t, points=tuple(replace(p, value=0.123) for p in t.points))
                for t in snapshot.trajectories
            ),
        )
        app.post_message(SnapshotRead(later))
        text = await settled(pilot)
        assert "paused" in text and "0.123" not in text
        assert text.splitlines()[3:] == before.splitlines()[3:]
        await pilot.press("space")
        await settled(pilot)
        assert "0.123" in screen_text(app) and "paused" not in screen_text(app)


async def test_only_the_visible_tab_draws(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.query_one("#timeline", Painted).painted_text() == ""
        await pilot.press("3")
        await settled(pilot)
        assert "cuda:0" in app.query_one("#timeline", Painted).painted_text()


async def test_a_new_value_repaints_only_the_lines_that_differ(
    snapshot: Snapshot, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        chart = app.query_one("#macro-chart", Painted)
        asked: list[int] = []
        monkeypatch.setattr(
            chart, "refresh", lambda *regions, **_: asked.extend(r.y for r in regions)
        )
        changed = replace(snapshot, read_at=now)
        app.post_message(SnapshotRead(changed))
        await settled(pilot)
        assert asked == []
        macro = next(t for t in snapshot.trajectories if t.mode == "gold")
        points = (*macro.points[:-1], replace(macro.points[-1], value=0.44))
        others = tuple(t for t in snapshot.trajectories if t is not macro)
        changed = replace(snapshot, trajectories=(*others, replace(macro, points=points)))
        app.post_message(SnapshotRead(changed))
        await settled(pilot)
        assert 1 <= len(asked) <= 4 and 0 in asked


async def test_help_lists_every_action_and_closes(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        text = await settled(pilot)
        await pilot.press(*["j"] * 12)  # to the end of the list
        text += await settled(pilot)
        assert all(a.description in text for a in ACTIONS if a.hook not in ("search", "engine"))
        await pilot.press("escape")
        await settled(pilot)
        assert "macro mean" in screen_text(app)


def test_the_table_of_actions_has_no_key_twice_and_no_action_that_is_missing() -> None:
    for tab in ["", *(key for key, _ in TABS)]:
        keys = [key for action in TABLE if action.tab == tab for key in action.keys]
        assert len(keys) == len(set(keys))
    for action in TABLE:
        assert hasattr(Dashboard, f"action_{action.action.split('(')[0]}")


async def test_t_goes_through_dark_light_and_sixteen_colours(
    snapshot: Snapshot, now: float
) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test(size=(80, 24)) as pilot:
        dark = app.theme
        await pilot.press("t")
        assert app.theme == LIGHT
        await pilot.press("t")
        assert app.theme == ANSI
        await pilot.press("t")
        assert app.theme == dark


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_quitting(snapshot: Snapshot, now: float, key: str) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test() as pilot:
        await pilot.press(key)
        await settled(pilot)
        assert not app.is_running
    assert (app.return_code or 0) == 0


async def test_q_can_be_typed_into_the_command_palette(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    async with app.run_test() as pilot:
        await pilot.press("ctrl+p")
        await settled(pilot)
        await pilot.press("q", "tab")
        await settled(pilot)
        assert app.is_running


@pytest.mark.parametrize("health", ["waiting", "gone", "locked", "newer", "unreadable"])
async def test_every_trouble_with_the_database_is_a_state(
    snapshot: Snapshot, now: float, health: str
) -> None:
    troubled = replace(snapshot, source=Source("/x/run.db", health, "why"))  # type: ignore[arg-type]
    app = app_showing(troubled, now)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert "database" in screen_text(app).splitlines()[0]


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_there_yet_is_a_sentence_on_every_tab(
    now: float, size: tuple[int, int]
) -> None:
    app = app_showing(Snapshot(Source("/x/live.db", "waiting"), now), now)
    async with app.run_test(size=size) as pilot:
        for tab, sentence in (
            ("overview", "waiting for the engine to create" if size[0] > 100 else "/x/live.db"),
            ("trajectories", "waiting for the"),
            ("gpus", "waiting for the first batch"),
            ("latency", "waiting for a checkpoint with"),
            ("correlation", "waiting for checkpoints"),
            ("events", "nothing has happened yet"),
        ):
            app.tab = tab
            await settled(pilot)
            assert sentence in screen_text(app)


def hostile_run(path: Path) -> Snapshot:
    names = (
        recorded_run.HOSTILE,
        "[bold]ChartQA[/]",
        "数据集数据集数据集",
        "\u202eabc",
        "e\u0301" * 9,
    )
    recorder = recorded_run.Recorder(path, name=recorded_run.HOSTILE, datasets=names)
    for step in (100, 200, 300):
        recorder.add_checkpoint(step)
        for mode in ("closed", "open", "gold"):
            recorder.evaluate(step, mode)  # type: ignore[arg-type]
        recorder.correlate(step)
    recorder.sample(5)
    recorder.beat()
    with recorder.writer.transaction() as connection:
        connection.execute("UPDATE workers SET device = ?", (recorded_run.HOSTILE,))
        connection.execute("UPDATE gpu_samples SET throttle = ?", (recorded_run.HOSTILE,))
    recorder.close()
    return read_snapshot(path)


@pytest.mark.parametrize("size", [(60, 16), *SIZES])
async def test_hostile_text_is_shown_and_does_nothing(
    tmp_path: Path, now: float, size: tuple[int, int]
) -> None:
    app = app_showing(hostile_run(tmp_path / "run.db"), now)
    async with app.run_test(size=size) as pilot:
        for tab, _ in TABS:
            app.tab = tab
            text = await settled(pilot)
            controls = {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
            assert not controls
            assert "\\x1b" in text


async def test_a_hundred_datasets_and_one_checkpoint(tmp_path: Path, now: float) -> None:
    names = [f"dataset-{n:03d}" for n in range(100)]
    recorder = recorded_run.Recorder(tmp_path / "run.db", datasets=names)
    recorder.add_checkpoint(100)
    recorder.evaluate(100, "closed", batch=1000)
    recorder.close()
    app = app_showing(read_snapshot(tmp_path / "run.db"), now)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await settled(pilot)
        assert "dataset-005" in screen_text(app) and "dataset-006" not in screen_text(app)
        await pilot.press("G")
        await settled(pilot)
        assert "dataset-099" in screen_text(app) and "dataset-005" not in screen_text(app)


async def test_a_burst_of_snapshots_is_shown_once(snapshot: Snapshot, now: float) -> None:
    app = app_showing(snapshot, now)
    first, second = SnapshotRead(snapshot), SnapshotRead(snapshot)
    assert second.can_replace(first)
    async with app.run_test() as pilot:
        await settled(pilot)
        assert app.newest is snapshot


def test_the_summary_has_five_short_lines(snapshot: Snapshot, now: float) -> None:
    lines = summary(snapshot, now).splitlines()
    assert len(lines) == 5 and max(map(len, lines)) <= 100
    assert lines[0] == "qwen-sft-3: 9 of 11 checkpoints done, lag 1"
    assert "closed 0.557 (step 1000), open ~0.542 (step 1000), gold 0.517 (step 800)" in lines[1]
    assert "closed +0.81 n=8" in lines[2] and "79 % cheaper" in lines[2]


def test_a_failing_reader_is_a_crash(now: float) -> None:
    def feed(stop: threading.Event) -> Iterator[Snapshot]:
        raise RuntimeError("reader broke")
        yield

    app = Dashboard(feed, now=lambda: now)
    app.run(headless=True)
    assert app.return_code == 1
