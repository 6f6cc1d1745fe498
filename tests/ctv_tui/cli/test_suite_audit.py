"""`ctv-tui suite audit` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "engine"))

import tiny

from ctv_engine.suite import Dataset, DraftItem, write_suite

PIXELS = [(r, g, b) for r in range(0, 250, 30) for g in (0, 90, 180) for b in (0, 100, 200)]
WORDS = ["heron", "plane", "lilac", "tower", "amber", "socks", "brick", "finch"]


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ctv_tui", "suite", "audit", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


def drafts(count: int) -> list[DraftItem]:
    """Each word is the key as often as any other; pictures differ."""
    found = []
    for number in range(count):
        options = [WORDS[(number + step) % 8] for step in (0, 1, 3, 6)]
        picture = tiny.square_png(PIXELS[number % len(PIXELS)], number)
        question = f"What stands at place number {number}?"
        key = options[number // 8 % 4]
        found.append(
            DraftItem(
                "Things", str(number), question, picture, (key,), (*options,), number // 8 % 4
            )
        )
    return found


def written(directory: Path, items: list[DraftItem], *, order: str = "seeded") -> Path:
    datasets = [Dataset("Things", "exact_match", 8)]
    write_suite(directory, name="things", kind="paired", datasets=datasets, items=items)
    head = directory / "suite.toml"
    head.write_text(head.read_text().replace("format = 1", f'format = 1\noption_order = "{order}"'))
    return directory


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("audited") / "clean", drafts(64))


def test_a_clean_suite_passes(clean: Path) -> None:
    done = run(clean)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("things, 64 items, digest ")
    assert lines[-1] == "21 checks: 0 failed, 0 with a warning"
    assert all(line.startswith("pass ") for line in lines[1:-1])


def test_keys_on_one_letter_fail_and_items_are_listed_up_to_a_number(tmp_path: Path) -> None:
    first = [
        replace(
            one,
            options=(one.answers[0], *(o for o in one.options if o != one.answers[0])),
            gold_index=0,
        )
        for one in drafts(64)
    ]
    suite = written(tmp_path / "bad", first, order="file")
    done = run(suite, "--items", "2")
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("fail     letter-balance"))
    assert "Things: A is the key in 100.0% of 64" in lines[at]
    assert lines[at + 1 : at + 4] == [
        "         Things/0: the key is on A",
        "         Things/1: the key is on A",
        "         … and 62 more; --items 0 lists all",
    ]
    assert lines[-1] == "21 checks: 2 failed, 0 with a warning"
    assert run(suite, "--items", "0").stdout.count("the key is on A") == 128
    allowed = run(suite, "--allow", "letter-balance", "--allow", "one-letter")
    assert allowed.returncode == 0
    assert "\nallowed  letter-balance" in allowed.stdout
    assert run(suite, CTV_TUI_ALLOW="letter-balance one-letter").returncode == 0


def test_json_has_every_item_and_number(tmp_path: Path) -> None:
    items = drafts(64)
    items[5] = replace(items[5], answers=("a lighthouse",))
    done = run(written(tmp_path / "bad", items), "--json")
    assert done.returncode == 1
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["failed"] is True
    by_check = {one["check"]: one for one in document["findings"]}
    told = by_check["refused-key"]
    assert told["verdict"] == "fail"
    assert [(one["dataset"], one["key"]) for one in told["concerns"]] == [("Things", "5")]
    letters = by_check["letter-balance"]["measures"]
    assert [one["subject"] for one in letters] == ["A", "B", "C", "D"]
    assert sum(one["value"] for one in letters) == pytest.approx(1)
    assert document["settings"]["significance"] == 0.01
    assert document["notes"] == []


def test_what_a_data_set_says_can_not_steer_the_terminal(tmp_path: Path) -> None:
    items = drafts(64)
    evil = "\x1b]0;owned\x07\u202e"
    items[3] = replace(items[3], key=f"k{evil}", answers=(f"x{evil}",))
    done = run(written(tmp_path / "evil", items))
    assert done.returncode == 1
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert "Things/k\\x1b]0;owned\\x07\\u202e" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no such directory"),
        (["CLEAN", "--allow", "lettres"], "no check 'lettres'; use letter-balance, one-letter"),
        (["CLEAN", "--sample", "5"], "--sample goes with --checkpoint"),
        (["CLEAN", "--checkpoint", "nowhere"], "--checkpoint nowhere: no such directory"),
        (["CLEAN", "--items", "-1"], "--items"),
        ([], "SUITE"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], said: str, clean: Path, tmp_path: Path
) -> None:
    done = run(*(str(clean) if one == "CLEAN" else one for one in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_is_asked_blind(clean: Path, tmp_path: Path) -> None:
    checkpoint = tiny.save_checkpoint(tmp_path / "checkpoint-10", 10)
    asked = ("--checkpoint", checkpoint, "--devices", "cpu", "--sample", "24", "--json")
    done = run(clean, *asked)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["findings"][-3:]
    assert [one["check"] for one in found] == ["no-image", "no-question", "options-only"]
    assert all(one["measures"][0]["n"] == 24 for one in found)
    assert all("with everything right in" in one["measured"] for one in found)
