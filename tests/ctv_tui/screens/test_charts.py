"""Trajectories driven by its keys, and what all tabs with charts have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_run
from driving import SIZES, settled
from on_tab import on_tab

from ctv_engine.store.scopes import dataset_of, scope_of
from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.data.snapshot import OtherRun, Point, Trajectory
from ctv_tui.screens.correlation import CorrelationPane
from ctv_tui.screens.latency import LatencyPane
from ctv_tui.screens.pane import Pane
from ctv_tui.screens.trajectories import Trajectories
from ctv_tui.widgets.painted import Painted


@pytest.mark.parametrize("pane", [Trajectories, LatencyPane, CorrelationPane])
def test_every_action_has_a_method_and_no_key_is_bound_twice(pane: type[Pane]) -> None:
    keys = [key for action in pane.ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))
    assert not set(keys) & {"g", "G", "j", "k", "space", "t", "q", "tab", "question_mark"}
    for action in pane.ACTIONS:
        assert callable(getattr(pane, "do_" + action.id.split(".")[1]))


# --- trajectories ---------------------------------------------------------------------------------


async def test_enter_gives_one_chart_the_room_with_bands_differences_and_values(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        text = await driver.press("enter")
        for part in (
            "closed − gold  open − gold", "░", "±1 standard error", "step 1000", "2026-09-21",
            "closed 0.557  ±0.034 [0.491, 0.623]  n=220", "not evaluated at this step",
            "┌─ datasets ─",
        ):  # fmt: skip
            assert part in text, part
        assert "┌─ VizWiz ─" not in text
        assert "┌─ VizWiz ─" in await driver.press("escape")


async def test_the_cursor_moves_by_checkpoints_and_says_what_is_there(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        text = await driver.press("enter", "left", "h")
        assert "step 800" in text and "gold   0.517  ±0.025" in text
        assert "vs gold +0.003" in text and "vs gold -0.075" in text
        assert "step 900" in await driver.press("l")
        assert "step 1000" in await driver.press("right", "right", "right")
        assert "step 100" in await driver.press(*["left"] * 20)


async def test_the_cursor_follows_the_newest_checkpoint_until_it_is_moved(
    snapshot: Snapshot, now: float
) -> None:
    grown = replace(
        snapshot,
        trajectories=tuple(
            replace(t, points=(*t.points, Point(1100, 0.5, 0.01, 9, True)))
            for t in snapshot.trajectories
        ),
    )
    async with on_tab(snapshot, now, "trajectories") as driver:
        await driver.press("enter")
        assert "step 1100" in await driver.show(grown)
        await driver.press("left", "left")
        assert "step 900" in await driver.show(snapshot)


async def test_left_and_right_select_charts_in_the_grid(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        text = await driver.press("right", "right", "left", "enter")
        assert "▸ ChartQA" in text and "┌─ ChartQA ─" in text


async def test_x_changes_between_steps_and_time(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        steps = driver.part("macro-chart").splitlines()[-2]
        assert "500" in steps and "1000" in steps
        text = await driver.press("x")
        assert "axis: time since the first checkpoint" in text
        time = driver.part("macro-chart").splitlines()[-2]
        assert "1 min" in time and "1000" not in time
        await driver.press("x")
        assert driver.part("macro-chart").splitlines()[-2] == steps


async def test_a_clock_that_went_back_is_said_and_draws_no_line_backwards(
    snapshot: Snapshot, now: float
) -> None:
    jumped = tuple(
        replace(c, ready_at=(c.ready_at or 0.0) - (7200.0 if c.step > 500 else 0.0))
        for c in snapshot.checkpoints
    )
    async with on_tab(replace(snapshot, checkpoints=jumped), now, "trajectories") as driver:
        assert "clock went back 120 min" in await driver.press("x") or "2 h" in driver.part(
            "legend"
        )


async def test_smoothing_says_what_it_is_and_keeps_the_raw_points(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        plain = driver.part("macro-chart")
        text = await driver.press("~")
        assert "lines: EMA of 5 checkpoints, dots: raw" in text
        smooth = driver.part("macro-chart")
        assert smooth != plain and smooth.count("●") >= plain.count("●")
        assert "EMA of 15 checkpoints" in await driver.press("~")
        assert "smooth: off" in await driver.press("~")
        assert driver.part("macro-chart") == plain


@pytest.mark.parametrize(
    ("hide", "only", "sign", "word"),
    [("c", "C", "●", "closed"), ("o", "O", "•", "open"), ("d", "D", "◆", "gold")],
)
async def test_hiding_and_showing_a_series_alone(
    snapshot: Snapshot, now: float, hide: str, only: str, sign: str, word: str
) -> None:
    signs = {"●", "•", "◆"}
    async with on_tab(snapshot, now, "trajectories") as driver:
        await driver.press(hide)
        shown = driver.part("macro-chart")
        assert sign not in shown and all(other in shown for other in signs - {sign})
        assert f"{word} " not in shown.splitlines()[0]
        assert "(hidden)" in driver.part("legend")
        await driver.press(hide, only)
        shown = driver.part("macro-chart")
        assert sign in shown and not any(other in shown for other in signs - {sign})
        await driver.press(only)
        assert all(other in driver.part("macro-chart") for other in signs)


def other_run(name: str, by: float, snapshot: Snapshot) -> OtherRun:
    return OtherRun(
        "",
        name,
        tuple(
            replace(
                t,
                points=tuple(
                    replace(p, value=None if p.value is None else p.value + by) for p in t.points
                ),
            )
            for t in snapshot.trajectories
        ),
        tuple((c.step, c.ready_at or 0.0) for c in snapshot.checkpoints),
    )


async def test_r_lays_other_runs_over_this_one(snapshot: Snapshot, now: float) -> None:
    both = replace(
        snapshot,
        other_runs=(
            other_run("earlier", -0.1, snapshot),
            other_run("\x1b[2J\u202ebad", 0.1, snapshot),
        ),
    )
    async with on_tab(both, now, "trajectories") as driver:
        plain = driver.part("macro-chart")
        text = await driver.press("r")
        assert "overlay: earlier" in text and "other run" in text and "+" in text
        assert driver.part("macro-chart") != plain
        assert "overlay: \\x1b[2J\\u202ebad" in await driver.press("r")
        text = await driver.press("r", "enter", "left", "left")
        assert "C 0.419" in text and "C 0.619" in text  # 0.519 ∓ 0.1 at step 800
        await driver.press("escape", "r")
        assert driver.part("macro-chart") == plain


async def test_without_another_run_r_changes_nothing(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        plain = driver.part("macro-chart")
        await driver.press("r")
        assert driver.part("macro-chart") == plain and "overlay" not in driver.part("legend")


async def test_zoom_halves_the_steps_around_the_cursor_which_takes_it_along(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        await driver.press("enter")
        assert "zoom 500…1000" in await driver.do("trajectories", "zoom_in")
        axis = driver.part("single-chart")
        assert "600" in axis and " 200 " not in axis
        assert "zoom 400…900" in await driver.press(*["left"] * 6)
        await driver.do("trajectories", "zoom_in")
        assert "zoom" in await driver.do("trajectories", "zoom_out")
        assert "zoom" not in await driver.do("trajectories", "zoom_out")
        await driver.do("trajectories", "zoom_in")
        assert "zoom" not in await driver.do("trajectories", "zoom_reset")


async def test_where_there_is_little_room_there_is_one_chart_beside_the_list(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "trajectories", (80, 24)) as driver:
        text = await driver.press("j")
        assert "▸ ChartQA" in text and "┌─ ChartQA ─" in text and "step 1000" in text
        text = await driver.press("left", "left")
        assert "] n=40 vs gold" in text and "…" not in driver.part("single-chart")
        assert "─ datasets ─" not in await driver.press("enter")
        assert "─ datasets ─" in await driver.press("enter")


async def test_a_point_that_is_not_complete_is_hollow(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        chart = driver.app.query(".dataset-chart").first(Painted)
        assert "○" in chart.painted_text()
        done = replace(
            snapshot,
            trajectories=tuple(
                replace(t, points=tuple(replace(p, complete=True) for p in t.points))
                for t in snapshot.trajectories
            ),
        )
        await driver.show(done)
        assert "○" not in chart.painted_text()


async def test_a_new_point_in_the_large_chart_repaints_only_what_differs(
    snapshot: Snapshot, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_tab(snapshot, now, "trajectories") as driver:
        await driver.press("enter")
        chart = driver.app.query_one("#single-chart", Painted)
        asked: list[int] = []
        monkeypatch.setattr(
            chart, "refresh", lambda *regions, **_: asked.extend(r.y for r in regions)
        )
        await driver.show(replace(snapshot, read_at=now))
        assert asked == []
        macro = next(t for t in snapshot.trajectories if t.mode == "gold")
        points = (*macro.points[:-1], replace(macro.points[-1], value=0.47))
        others = tuple(t for t in snapshot.trajectories if t is not macro)
        await driver.show(replace(snapshot, trajectories=(*others, replace(macro, points=points))))
        assert 1 <= len(set(asked)) <= 12


# --- bad input ------------------------------------------------------------------------------------

TABS = ("trajectories", "latency", "correlation")


@pytest.mark.parametrize("size", [(60, 16), *SIZES])
async def test_a_run_without_gold(snapshot: Snapshot, now: float, size: tuple[int, int]) -> None:
    assert snapshot.run is not None
    bare = replace(
        snapshot,
        run=replace(snapshot.run, gold_digest=None),
        trajectories=tuple(t for t in snapshot.trajectories if t.mode != "gold"),
        tracks=(),
        evidence=(),
        rolling=(),
        rolling_scopes=(),
        whole=(),
    )
    async with on_tab(bare, now, "correlation", size) as driver:
        assert "this run has no gold suite" in " ".join((await settled(driver.pilot)).split())
        driver.app.tab = "trajectories"
        text = await driver.press("enter")
        assert "− gold" not in text and "●" in text


@pytest.mark.parametrize("size", SIZES)
async def test_scores_that_are_no_numbers(
    snapshot: Snapshot, now: float, size: tuple[int, int]
) -> None:
    odd = (None, math.nan, math.inf, -math.inf)
    broken = replace(
        snapshot,
        trajectories=tuple(
            replace(
                t,
                points=tuple(
                    replace(p, value=odd[n % 4], stderr=odd[(n + 1) % 4])
                    for n, p in enumerate(t.points)
                ),
            )
            for t in snapshot.trajectories
        ),
    )
    async with on_tab(broken, now, "trajectories", size) as driver:
        for keys in ((), ("enter",), ("~",), ("x",), ("left",), ("enter",)):
            text = await driver.press(*keys)
            assert "there are answers" in text
        for tab in TABS:
            driver.app.tab = tab
            await settled(driver.pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_one_checkpoint_only(tmp_path: Path, now: float, size: tuple[int, int]) -> None:
    recorder = recorded_run.Recorder(tmp_path / "run.db")
    recorder.add_checkpoint(100)
    for mode in ("closed", "open", "gold"):
        recorder.evaluate(100, mode)  # type: ignore[arg-type]
    recorder.correlate(100)
    recorder.weigh()
    recorder.close()
    async with on_tab(read_snapshot(tmp_path / "run.db"), now, "trajectories", size) as driver:
        for key in ("enter", "x", "~", "left", "right"):
            text = await driver.press(key)
        await driver.do("trajectories", "zoom_in")
        assert "step 100" in text
        driver.app.tab = "correlation"
        text = await settled(driver.pilot)
        assert "only 1 checkpoint has both scores: no verdict below 5" in text


async def test_a_hundred_datasets_with_gold(tmp_path: Path, now: float) -> None:
    names = [f"dataset-{n:03d}" for n in range(100)]
    points = tuple(Point(100 * n, 0.3 + 0.01 * n, 0.01, 10, True) for n in range(1, 9))
    recorder = recorded_run.Recorder(tmp_path / "run.db", datasets=names)
    recorder.close()
    empty = read_snapshot(tmp_path / "run.db")
    many = replace(
        empty,
        trajectories=tuple(
            Trajectory(mode, name, points)  # type: ignore[arg-type]
            for name in ("macro", *names)
            for mode in ("closed", "open", "gold")
        ),
    )
    async with on_tab(many, now, "trajectories") as driver:
        assert "datasets 1–6 of 100" in await settled(driver.pilot)
        assert "datasets 97–100 of 100" in await driver.press("G")
        assert "▸ dataset-099" in await driver.press("enter")


async def test_names_that_are_wide_right_to_left_or_hostile_keep_the_layout(
    snapshot: Snapshot, now: float
) -> None:
    names = {
        "ChartQA": "数据集" * 6,
        "DocVQA": "\u05e9\u05dc\u05d5\u05dd\u202e",
        "InfoVQA": recorded_run.HOSTILE,
    }
    odd = replace(
        snapshot,
        datasets=tuple(names.get(d, d) for d in snapshot.datasets),
        trajectories=tuple(
            replace(t, dataset=names.get(t.dataset, t.dataset)) for t in snapshot.trajectories
        ),
        tracks=tuple(
            replace(t, scope=scope_of(names.get(dataset_of(t.scope), dataset_of(t.scope))))
            for t in snapshot.tracks
        ),
    )
    for tab in TABS:
        for size in SIZES:
            async with on_tab(odd, now, tab, size) as driver:
                text = await driver.press("j", "enter", "j")
                assert "\x1b" not in text and "\u202e" not in text
                assert len(text.splitlines()) == size[1]


def test_six_charts_cost_a_fraction_of_what_plotext_needs() -> None:
    import time

    from ctv_tui.widgets.plot import plot
    from ctv_tui.widgets.raster import draw
    from ctv_tui.widgets.series import Dot, Series

    def wave(phase: float) -> tuple[Dot, ...]:
        return tuple(Dot(10.0 * n, 0.5 + 0.3 * math.sin(phase + n / 40)) for n in range(300))

    series = [
        Series("open", "dotted", wave(1.0)),
        Series("closed", "solid", wave(0.0)),
        Series("gold", "diamonds", wave(0.1)),
    ]

    def cost(draw_one: Callable[..., object]) -> float:
        best = math.inf
        for _ in range(5):
            started = time.process_time()
            for _ in range(6):
                draw_one(series, (0.0, 3000.0), (0.0, 1.0), 51, 15)
            best = min(best, time.process_time() - started)
        return best

    assert cost(draw) < 0.6 * cost(plot)
