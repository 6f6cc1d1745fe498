"""The client and a server that nobody has scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from ctv_engine.llm.asking import Prompt, Unreachable, Unreadable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import READINGS, Client
from ctv_engine.llm.providers import Provider
from ctv_engine.llm.stored import Replies


@pytest.fixture
def provider(llm_server: str) -> Provider:
    """The model as a provider that takes no key. Replies are short: it may go on for ever."""
    return Provider("local", llm_server, "smollm2", max_concurrent=2, max_tokens=64)


class Colour(BaseModel):
    """A form with an end: whatever the model thinks, a reply of this form is short."""

    colour: Literal["red", "green", "blue"]
    sure: bool


class Essay(BaseModel):
    text: str


@pytest.fixture
def replies(tmp_path: Path) -> Iterator[Replies]:
    kept = Replies(tmp_path / "replies.db")
    yield kept
    kept.close()


@pytest.fixture
def client(provider: Provider, replies: Replies) -> Callable[..., Client]:
    async def sleep(seconds: float) -> None:
        pass

    def made(budget: Budget | None = None, **settings: Any) -> Client:
        return Client(replace(provider, **settings), replies, budget or Budget(), sleep=sleep)

    return made


def ask(client: Client, text: str, form: type[Any] = Colour, **prompt: Any) -> Any:
    return asyncio.run(client.ask(Prompt("test", "You are brief.", text, **prompt), form))


def test_the_server_keeps_to_the_schema_and_is_asked_once(
    client: Callable[..., Client], replies: Replies
) -> None:
    budget = Budget(calls=1)
    first = ask(client(budget, price_in=1.0, price_out=2.0), "Which colour has the sky?")
    assert isinstance(first, Colour)
    assert ask(client(budget), "Which colour has the sky?") == first
    spent = replies.spent()["local", "test"]
    assert spent.calls == budget.calls_made == 1
    assert spent.input_tokens > 10 and spent.output_tokens > 5
    assert spent.cost == pytest.approx((spent.input_tokens + 2 * spent.output_tokens) / 1e6)


def test_many_at_once(client: Callable[..., Client], replies: Replies) -> None:
    one = client(max_concurrent=4)

    async def many() -> list[Colour]:
        asked = [one.ask(Prompt("test", "", f"Colour {n % 5}?"), Colour) for n in range(15)]
        return await asyncio.gather(*asked)

    assert len(asyncio.run(many())) == 15
    assert replies.spent()["local", "test"].calls == 5


def test_a_reply_that_does_not_end_is_cut_and_said_to_be(client: Callable[..., Client]) -> None:
    budget = Budget()
    with pytest.raises(Unreadable, match="a larger max_tokens may help"):
        ask(client(budget, max_tokens=8), "Tell me a long story.", Essay)
    assert budget.calls_made == READINGS


def test_what_the_server_refuses_it_explains(client: Callable[..., Client]) -> None:
    with pytest.raises(Unreachable, match=r"status 400; .*exceeds the available context size"):
        ask(client(), "word " * 6000)
    picture = b"\x89PNG\r\n\x1a\n" + b"0" * 50
    with pytest.raises(Unreachable, match=r"status 500 \(.*image.*\)"):
        ask(client(), "What is this?", image=picture)


def test_a_wrong_address_is_named(client: Callable[..., Client], llm_server: str) -> None:
    elsewhere = llm_server.replace("/v1", "/v9")
    with pytest.raises(Unreachable, match=f"status 404; .*base_url {elsewhere}"):
        ask(client(base_url=elsewhere), "Which colour?")
