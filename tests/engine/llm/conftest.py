"""A client of a scripted server that waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llm_script import KEY, Script
from pytest_httpserver import HTTPServer

from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.providers import Provider
from ctv_engine.llm.stored import Replies


@pytest.fixture
def script(httpserver: HTTPServer) -> Script:
    return Script(httpserver)


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(
    script: Script, slept: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Client]]:
    monkeypatch.setenv("SOME_KEY", KEY)
    replies = Replies(tmp_path / "replies.db")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def made(
        budget: Budget | None = None,
        *,
        name: str = "big",
        clock: Callable[[], float] = lambda: 0.0,
        **settings: Any,
    ) -> Client:
        given = {"base_url": script.url, "model": "m-1", "key_env": "SOME_KEY", **settings}
        provider = Provider(name, **given)
        return Client(provider, replies, budget or Budget(), sleep=sleep, clock=clock)

    yield made
    replies.close()
