"""Who may import whom, seen from a fresh interpreter; the static half is in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("ctv_tui.cli", "textual plotext torch transformers numpy sqlite_utils rich"),
        ("ctv_tui.data.tail", "textual plotext torch transformers numpy sqlite_utils"),
        ("ctv_tui.data.text", "textual plotext torch transformers numpy sqlite_utils"),
        ("ctv_tui.review.app", "torch transformers numpy pyarrow openai sqlite_utils"),
        ("ctv_tui.app", "torch transformers numpy sqlite_utils ctv_engine.service"),
        ("ctv_engine.suite", "torch transformers numpy"),
        ("ctv_engine.store.reader", "torch transformers numpy sqlite_utils"),
        ("ctv_engine.store.writer", "torch transformers textual"),
        ("ctv_engine.stats.track", "torch transformers textual"),
        ("ctv_engine.report.build", "torch transformers textual ctv_tui ctv_engine.runtime"),
        ("ctv_engine.service", "torch transformers textual ctv_tui"),
        ("ctv_engine.construction.audit", "torch transformers textual ctv_engine.models"),
        ("ctv_engine.demo", "torch transformers numpy"),
        ("ctv_engine.demo.data", "torch transformers textual ctv_engine.runtime"),
    ],
)
def test_importing_a_room_does_not_open_others(module: str, forbidden: str) -> None:
    code = (
        f"import sys, {module}\n"
        f"print([name for name in {forbidden.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
