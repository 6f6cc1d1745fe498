"""The plain table and the JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import recorded_run

from ctv_tui.data import FORMAT, Snapshot, as_json, plain_text, read_snapshot
from ctv_tui.data.safe_text import cells
from ctv_tui.data.snapshot import Source
from ctv_tui.data.summary import summary
from ctv_tui.data.text import scope_name


def small_run(path: Path) -> Snapshot:
    recorder = recorded_run.Recorder(path, datasets=("ChartQA", "DocVQA"))
    for step in (100, 200, 300):
        recorder.add_checkpoint(step)
        for mode in ("closed", "open", "gold"):
            share = 0.5 if (step, mode) == (300, "gold") else 1.0
            recorder.evaluate(step, mode, share=share)  # type: ignore[arg-type]
        recorder.correlate(step)
    with recorder.at(1.0) as writer:
        writer.add_event("warning", "capped", "9 % of the open answers hit the limit")
        writer.add_event("info", "checkpoint", "not shown")
    recorder.beat()
    recorder.close()
    snapshot = read_snapshot(path)
    return Snapshot(
        **{
            **{name: getattr(snapshot, name) for name in Snapshot.__slots__},
            "source": Source("/data/run.db", "ok"),
            "read_at": recorder.clock.now + 1.0,
        }
    )


def test_the_plain_text_of_a_small_run(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    golden("small_run", plain_text(small_run(tmp_path / "run.db")))


def test_a_saving_over_other_items_says_how_many_they_are(snapshot: Snapshot, now: float) -> None:
    """The last open evaluation of the recording is under way: 134 of its 220 items."""
    clause = "; closed is 79 % cheaper than open (220 and 134 items)"
    assert clause in plain_text(snapshot, now=now)
    assert clause in summary(snapshot, now)


def test_the_json_of_a_small_run(tmp_path: Path) -> None:
    document = as_json(small_run(tmp_path / "run.db"))
    assert document["format"] == FORMAT == 1
    assert document["engine"]["state"] == "scoring"
    assert document["engine"]["heartbeat_age_s"] == 1.0
    assert set(document) == {
        "format", "read_at", "database", "run", "engine", "lag", "checkpoints", "evaluations",
        "scores", "correlations", "evidence", "ranking", "latency", "devices", "hosts", "events",
    }  # fmt: skip
    assert document["scores"][0] | {"value": 0, "stderr": 0} == {
        "mode": "closed", "dataset": "macro", "step": 100, "value": 0, "stderr": 0, "n": 80,
        "complete": True,
    }  # fmt: skip
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_wide_runs_are_split_into_blocks_that_fit(snapshot: Snapshot, now: float) -> None:
    text = plain_text(snapshot, now=now)
    assert max(cells(line) for line in text.splitlines() if "per item" not in line) <= 120
    assert text.count("macro mean ──") == 1
    for name in recorded_run.DATASETS:
        assert f" {name} ──" in text
    assert "~0.542" in text
    assert "heartbeat 2 s ago" in text
    assert "lag 1" in text


def test_hostile_text_is_shown_as_escapes(snapshot: Snapshot) -> None:
    text = plain_text(snapshot)
    assert "checkpoint-50: broken \\x1b[2J\\x1b]0;owned\\x07[red]not markup[/red]\\u202e" in text
    assert not set(text) & {chr(n) for n in (*range(10), *range(11, 32), 127, *range(128, 160))}
    assert "\u202e" not in text


def test_hostile_text_is_escaped_by_json_itself(snapshot: Snapshot) -> None:
    dumped = json.dumps(as_json(snapshot))
    assert dumped.isascii() and dumped.isprintable()
    assert any(event["message"].endswith("\r\n") for event in as_json(snapshot)["events"])


def test_an_empty_run_says_so() -> None:
    text = plain_text(Snapshot(Source("run.db", "ok"), 0.0))
    assert "no run in this database yet" in text and "no scores yet" in text
    assert as_json(Snapshot(Source("run.db", "ok"), 0.0))["run"] is None


def test_reading_needs_no_terminal_library() -> None:
    code = (
        "import sys; from ctv_tui.data import read_snapshot, plain_text, as_json;"
        "print([m for m in ('textual', 'rich', 'plotext', 'torch', 'numpy', 'sqlite_utils',"
        " 'ctv_engine.store.writer', 'ctv_engine.store.schema') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("macro", "macro mean"),
        ("pooled", "pooled"),
        ("dataset:ChartQA", "ChartQA"),
        ("imported:team:macro", "team (imported), macro mean"),
        ("imported:team:pooled", "team (imported), pooled"),
        ("imported:team:dataset:Doc: QA", "team (imported), Doc: QA"),
        ("imported:\x1b[2J:macro", "\\x1b[2J (imported), macro mean"),
        ("imported:odd", "imported:odd"),
    ],
)
def test_a_scope_in_words(scope: str, words: str) -> None:
    assert scope_name(scope) == words
