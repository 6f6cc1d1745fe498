"""The dashboard in a browser: a real server, its children, and a browser where there is one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

from ctv_tui.cli.serve_command import is_loopback

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")
pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLOSED_BLUE = (0x56, 0xB4, 0xE9)


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def served(db: Path) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ctv_tui", "serve", "--db", str(db), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: accepts(port), 30.0)
        yield Served(process, port)
    finally:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def first_screen(session: aiohttp.ClientSession, served: Served) -> object:
    """Open a dashboard as a page does and return its WebSocket once the run's name was painted."""
    page = await session.ws_connect(
        f"{served.url}/ws?width=120&height=40", headers={"Origin": served.url}
    )
    painted = b""
    async with asyncio.timeout(30):
        async for message in page:
            painted += message.data if isinstance(message.data, bytes) else b""
            if b"qwen-sft-3" in painted and b"macro mean" in painted:
                break
    return page


async def test_a_page_gets_a_dashboard_of_its_own_and_others_get_none(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(served.url) as answer:
            assert answer.status == 200
        page = await first_screen(session, served)
        assert len(served.children()) == 1
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{served.url}/ws", headers=headers)
            assert refused.value.status == 403
        assert len(served.children()) == 1
        child = served.children()[0]
        await page.close()  # type: ignore[attr-defined]
        await asyncio.to_thread(wait_until, lambda: not child.is_running())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_dashboards_end_with_the_server(served: Served, number: signal.Signals) -> None:
    async with aiohttp.ClientSession() as session:
        await first_screen(session, served)
        (child,) = served.children()
        served.process.send_signal(number)
        await asyncio.to_thread(served.process.wait, 20)
        await asyncio.to_thread(
            wait_until,
            lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
            20.0,
        )


def test_a_port_in_use_is_one_clear_line(served: Served, db: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ctv_tui", "serve", "--db", str(db), "--port", str(served.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"--port {served.port}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("node-7", False),
        ("10.0.0.4", False),
    ],
)
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_chromium_shows_it(served: Served, tmp_path: Path) -> None:
    from PIL import Image

    assert CHROMIUM is not None
    browser = subprocess.Popen(
        [
            CHROMIUM,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900"),
            served.url,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file = tmp_path / "profile" / "DevToolsActivePort"
        await asyncio.to_thread(wait_until, lambda: port_file.exists(), 60.0)
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            picture = await blue_picture(session, port)
        assert Image.open(io.BytesIO(picture)).size[0] >= 1000
    finally:
        browser.terminate()
        browser.wait(20)


async def blue_picture(session: aiohttp.ClientSession, port: str) -> bytes:
    """Return the page as PNG once the blue of the closed task is on it."""
    from PIL import Image

    end = time.monotonic() + 60.0
    async with session.get(f"http://127.0.0.1:{port}/json") as answer:
        (page,) = [p for p in json.loads(await answer.text()) if p["type"] == "page"]
    async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=2**26) as tools:
        number = 0
        while time.monotonic() < end:
            number += 1
            await tools.send_json({"id": number, "method": "Page.captureScreenshot"})
            while (reply := await tools.receive_json()).get("id") != number:
                pass
            data = base64.b64decode(reply["result"]["data"])
            colours = Image.open(io.BytesIO(data)).convert("RGB").getcolors(2**24) or []
            if any(colour == CLOSED_BLUE and count > 50 for count, colour in colours):
                return data
    pytest.fail("the browser showed no dashboard within 60 s")
