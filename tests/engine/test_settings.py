"""The run's settings: there and back, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.settings import Settings, SettingsError

WATCH: dict[str, Any] = {"db": "/runs/a.db", "suite": "/suite", "checkpoint_dir": "/train/out"}
LIST: dict[str, Any] = {"db": "a.db", "suite": "/s", "checkpoints": ("/x/c-1", "/y/c-2")}


@pytest.mark.parametrize(
    "values",
    [
        WATCH,
        LIST,
        {**WATCH, "gold": "/gold", "devices": "cuda:0,1", "dtype": "bfloat16", "batch_size": 4},
        {**WATCH, "batch_tokens": 9, "pairing": False, "cache_gb": 0.5, "cache_dir": "/c"},
        {**WATCH, "schedule": "static", "cache_gb": 0},
        {**WATCH, "debias": "pride", "cloze": True},
        {**WATCH, "every": 3, "gold_every": 2, "quiet_s": 0.0, "drain": True, "name": "ß"},
        {**WATCH, "schedule": "static", "hang_s": 30.0, "silence_s": 5.0},
    ],
)
def test_settings_survive_as_json(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert Settings.from_json(settings.to_json()) == settings
    assert json.loads(settings.to_json())["db"] == values["db"]


def test_what_a_run_is_named_after() -> None:
    assert Settings(**WATCH).watched == Path("/train/out")
    assert Settings(**LIST).watched == Path("/x")


def test_pins_lie_beside_the_database() -> None:
    assert Settings(**WATCH).pins == Path("/runs/a.db.pins")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({}, "/home/me/.cache/ctv-tui/inputs"),
        ({"cache_dir": "/fast/disk"}, "/fast/disk"),
        ({"cache_gb": 0}, None),
        ({"cache_gb": 0, "cache_dir": "/fast/disk"}, None),
    ],
)
def test_where_the_input_cache_lies(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], place: str | None
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    wanted = Path(place) if place else None
    assert Settings(**{**WATCH, **values}).cache_directory == wanted
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    if place and "cache_dir" not in values:
        wanted = Path("/scratch/ctv-tui/inputs")
    assert Settings(**{**WATCH, **values}).cache_directory == wanted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoint_dir": None}, "directory to watch or checkpoints"),
        ({"checkpoints": ("/x",)}, "not both"),
        ({"dtype": "int8"}, "dtype 'int8'; use one of auto, float32, bfloat16, float16"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_tokens": 0}, "batch_tokens is 0; it must be at least 1"),
        ({"cache_gb": -1}, "cache_gb is -1; it must be at least 0"),
        ({"cache_gb": float("nan")}, "cache_gb is nan"),
        ({"schedule": "random"}, "schedule 'random'; use one of queue, static"),
        ({"debias": "all"}, "debias 'all'; use one of none, cyclic, pride, batch"),
        ({"cloze": "yes"}, "cloze is 'yes'; it must be true or false"),
        ({"every": 0}, "every is 0"),
        ({"gold_every": -1}, "gold_every is -1"),
        ({"poll_s": 0.0}, "poll_s is 0.0; it must be at least 0.05"),
        ({"quiet_s": -1.0}, "quiet_s is -1.0"),
        ({"abandon_s": -0.1}, "abandon_s is -0.1"),
        ({"window": 2}, "window is 2; it must be at least 3"),
        ({"quiet_s": float("nan")}, "quiet_s is nan"),
        ({"schedule": "random"}, "schedule 'random'; use one of queue, static"),
        ({"hang_s": 0.5}, "hang_s is 0.5; it must be at least 1"),
        ({"silence_s": 1}, "silence_s is 1; it must be at least 3"),
    ],
)
def test_a_value_out_of_its_range_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(**{**WATCH, **change})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "settings"),
        ("null", "settings"),
        ('{"db": "a", "suite": "s"}', "directory to watch"),
        ('{"suite": "s", "checkpoint_dir": "/d"}', "db"),
        ('{"db": "a", "colour": 1, "bar": 2}', "unknown settings: bar, colour"),
        ('{"db": "a", "suite": "s", "checkpoint_dir": "/d", "batch_size": "16"}', "batch_size"),
    ],
)
def test_json_that_is_no_settings(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.from_json(text)
