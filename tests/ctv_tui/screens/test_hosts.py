"""Devices and lanes under their machines, on the tabs that show them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import recorded_hosts
from on_tab import on_tab

from ctv_tui.data import Snapshot, read_snapshot
from ctv_tui.data.hosts import grouped
from ctv_tui.data.safe_text import cells
from ctv_tui.widgets.lines import text_of
from ctv_tui.widgets.strip import rows_by_host

SIZES = [(80, 24), (120, 40), (200, 60)]


def recorded(home: Path, **values: object) -> tuple[Snapshot, float]:
    now = recorded_hosts.record(home / "run.db", **values) + 2.0  # type: ignore[arg-type]
    return replace(read_snapshot(home / "run.db"), read_at=now), now


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, float]:
    return recorded(tmp_path_factory.mktemp("hosts"))


@pytest.mark.parametrize("size", SIZES)
async def test_tabs_as_text(
    cluster: tuple[Snapshot, float], golden: Callable[[str, str], None], size: tuple[int, int]
) -> None:
    async with on_tab(*cluster, "gpus", size) as one:
        for part in ("timeline", "devices"):
            text = one.part(part)
            golden(f"hosts_{part}_{size[0]}x{size[1]}", text)
            assert {cells(row) for row in text.splitlines()} == {size[0]}
            assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
        one.app.tab = "overview"
        await one.press()
        golden(f"hosts_strip_{size[0]}x{size[1]}", one.part("strip"))


@pytest.mark.parametrize("size", SIZES)
async def test_every_machine_is_reached_with_its_state_and_reason(
    cluster: tuple[Snapshot, float], size: tuple[int, int]
) -> None:
    async with on_tab(*cluster, "gpus", size) as one:
        text = one.part("devices")
        assert "node-1 " in text and "idle 9.1 %" in text and "use 88 %" in text
        await one.press("G")
        text = one.part("devices")
        assert "node-10 " in text and "set aside: checkpoint-100:" in text
        assert "\x1b" not in text and "GPU-0303aaaa" in text
        assert re.search(r"left after 3\.20 s of silence: its daemon is dead", text) or size[1] < 40


async def test_sixty_four_devices_on_eight_machines_keep_their_headings(tmp_path: Path) -> None:
    snapshot, now = recorded(tmp_path, hosts=8, devices=8)
    async with on_tab(snapshot, now, "gpus", (120, 40)) as one:
        devices = [one.part("devices")]
        for _ in range(10):
            await one.press(*"jjjjjjjj")
            devices.append(one.part("devices"))
        for text in devices:
            assert text.splitlines()[2].startswith("│ node-"), "the machine stands on top"
        whole = "\n".join(devices)
        for n in range(8):
            assert all(f"GPU-{n:02d}{number:02d}aaaa" in whole for number in range(8))
        one.app.tab = "overview"
        await one.press()
        strip = one.part("strip")
        assert "8 hosts" in strip and "set aside" in strip and "left" in strip


def test_where_devices_do_not_fit_the_overview_has_a_row_for_each_machine(
    cluster: tuple[Snapshot, float],
) -> None:
    snapshot = cluster[0]
    hosts = grouped(snapshot.hosts, snapshot.devices, snapshot.timelines)
    devices = [
        replace(d, status="lost") if d.gpu_uuid == "GPU-0101aaaa" else d for d in snapshot.devices
    ]
    rows = [text_of(row) for row in rows_by_host(devices, hosts, {}, 70, 6)]
    assert len(rows) == 4
    assert "88 %" in rows[0] and "4 workers" in rows[0] and "idle 9.1 %" in rows[0]
    assert "1 lost" in rows[1]
    assert "left after 3.20 s of silence: its daemon is dead" in rows[2]
    assert "set aside: checkpoint-100:" in rows[3]
    few = [text_of(row) for row in rows_by_host(devices, hosts, {}, 70, 3, more=" (tab 3)")]
    assert [row.split()[0] for row in few] == ["node-3", "node-10", "…"]
    assert few[2] == " … 2 more hosts (tab 3)"
    full = [text_of(row) for row in rows_by_host(devices, hosts, {}, 70, 20)]
    assert len(full) == 20 and full[5].startswith(" node-2")
