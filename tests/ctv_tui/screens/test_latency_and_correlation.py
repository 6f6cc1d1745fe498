"""Latency and Correlation driven by their keys."""

from __future__ import annotations

from dataclasses import replace

from driving import settled
from on_tab import on_tab

from ctv_tui.data import Snapshot
from ctv_tui.data.snapshot import Saving

# --- latency --------------------------------------------------------------------------------------


async def test_both_savings_percentiles_and_work_are_there(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "latency") as driver:
        text = await settled(driver.pilot)
        for part in (
            "79 % cheaper than open: 14.7 ms against 70.7 ms per item", "so far: open 61 % done",
            "batch-1 eager open: not measured", "--batch-size 1 --no-pairing", "--compare b1.db",
            "p50", "p95", "p99", "413 ms", "3.1 %", "2,147", "1 each", "0.7 % at the limit of 128",
        ):  # fmt: skip
            assert part in text, part


async def test_a_measured_baseline_takes_the_place_of_how_to_measure_it(
    snapshot: Snapshot, now: float
) -> None:
    measured = Saving("baseline", 0.91, 0.0147, 0.163, 900, "slow\x1b[2J", ("measured on n1",))
    changed = replace(snapshot, savings=(snapshot.savings[0], measured))
    async with on_tab(changed, now, "latency", (160, 45)) as driver:
        text = await settled(driver.pilot)
        assert "batch-1 eager open: 91 % cheaper: 14.7 ms against 163 ms per item" in text
        assert "checkpoint-900, slow\\x1b[2J; measured on n1" in text
        assert "not measured" not in text and "--batch-size" not in text


async def test_enter_shows_one_part_after_the_other_alone(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "latency", (80, 24)) as driver:
        heads = ("─ seconds per item ·", "─ output tokens", "─ seconds per item, and work")
        for alone in range(3):
            text = await driver.press("enter")
            assert [head in text for head in heads] == [n == alone for n in range(3)]
        text = await driver.press("enter")
        assert all(head in text for head in heads)
        text = await driver.press("enter", "escape")
        assert all(head in text for head in heads)


async def test_a_whole_dataset_list_can_be_scrolled(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "latency", (80, 24)) as driver:
        text = await settled(driver.pilot)
        assert "more ↓" in text and "VizWiz" not in text
        assert "VizWiz" in await driver.press("G")


# --- correlation ----------------------------------------------------------------------------------


async def test_one_sentence_three_charts_and_a_table(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "correlation") as driver:
        text = await settled(driver.pilot)
        for part in (
            "closed orders 25 of 28 checkpoint pairs as gold does; open 17 of 28",
            "r of closed with gold", "r of open with gold", "proxy against gold", "◉ ⊗ step 800",
            "rank", "pairs", "noise", "mono", "+0.90", "89 %", "0.035", "+0.95",
        ):  # fmt: skip
            assert part in text, part


async def test_n_stands_under_the_rolling_r_which_is_hollow_below_five(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "correlation") as driver:
        rows = driver.part("rolling-closed").splitlines()
        assert rows[-2].strip("│ ").split() == ["n", "1", "2", "3", "4", *["5"] * 6]
        assert sum(row.count("○") for row in rows) == 2
        assert sum(row.count("●") for row in rows) == 6


async def test_the_selected_dataset_is_on_the_charts(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "correlation") as driver:
        text = await driver.press("j")
        assert "▸ChartQA" in text and "r of closed with gold · ChartQA" in text
        assert "ChartQA: closed orders 21 of 27" in text
        assert "proxy against gold · VizWiz" in await driver.press("G")
        await driver.pilot.click("#scopes", offset=(5, 2))
        assert "▸macro mean" in await settled(driver.pilot)


async def test_one_chart_at_a_time_where_there_is_little_room(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "correlation", (80, 24)) as driver:
        heads = ("r of closed with gold", "r of open with gold", "proxy against gold")
        for chosen, key in ((0, ""), (1, "l"), (2, "right"), (0, "l"), (2, "h"), (1, "left")):
            text = await driver.press(*([key] if key else []))
            assert [head in text for head in heads] == [n == chosen for n in range(3)]
            assert f"{chosen + 1}/3" in text
        assert "over the whole run" not in await driver.press("enter")
        assert "over the whole run" in await driver.press("escape")


async def test_v_turns_to_the_other_columns_where_not_all_fit(
    snapshot: Snapshot, now: float
) -> None:
    async with on_tab(snapshot, now, "correlation", (80, 24)) as driver:
        text = await settled(driver.pilot)
        assert "n=8" in text and "mono" not in text
        text = await driver.press("v")
        assert "mono" in text and "89 %" in text and "[+0.24" not in text
        assert "n=8" in await driver.press("v")


async def test_enter_shows_the_chosen_chart_alone(snapshot: Snapshot, now: float) -> None:
    async with on_tab(snapshot, now, "correlation") as driver:
        text = await driver.press("l", "enter")
        assert "r of open with gold" in text and "r of closed" not in text
        assert "over the whole run" not in text
        assert "r of closed" in await driver.press("enter")
