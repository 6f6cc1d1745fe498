"""The client against a scripted server over HTTP: everything a provider may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_script import GOOD, KEY, Script, Verdict, ask, status
from werkzeug import Response

from ctv_engine.llm.asking import AskError, BudgetSpent, Prompt, Unreachable, Unreadable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import READINGS, Client
from ctv_engine.llm.endpoint import OPEN_AFTER, PROBE_EVERY_S, TRIES
from ctv_engine.llm.stored import Replies

PNG = b"\x89PNG\r\n\x1a\n"


# --- what is asked and kept -----------------------------------------------------------------------


def test_a_structured_reply_with_a_picture(client: Callable[..., Client], script: Script) -> None:
    assert ask(client(), image=PNG) == Verdict(score=0.5, why="half")
    (sent,) = script.requests
    assert sent["model"] == "m-1" and sent["temperature"] == 0.0
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] is True and schema["schema"]["additionalProperties"] is False
    assert schema["schema"]["required"] == ["score", "why"]
    picture, text = sent["messages"][1]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text == {"type": "text", "text": "How good?"}
    assert script.authorization == [f"Bearer {KEY}"]


def test_no_question_is_paid_for_twice(client: Callable[..., Client], script: Script) -> None:
    first = client()
    assert ask(first) == ask(first) == ask(client())  # another client on the same file
    assert len(script.requests) == 1
    ask(first, "Another?")
    ask(first, attempt=1)
    ask(first, image=PNG)
    ask(client(model="m-2"))
    ask(client(name="other"))  # a server of one's own may call every model the same
    assert len(script.requests) == 6


def test_equal_questions_at_once_share_one_call(
    client: Callable[..., Client], script: Script
) -> None:
    one = client()

    async def many() -> list[Verdict]:
        asked = [one.ask(Prompt("judge", "s", f"q{n % 2}"), Verdict) for n in range(10)]
        return await asyncio.gather(*asked)

    assert len(asyncio.run(many())) == 10
    assert len(script.requests) == 2


@pytest.mark.parametrize("structured", ["json_object", "prompt"])
def test_servers_that_know_no_schema(
    structured: str, client: Callable[..., Client], script: Script
) -> None:
    script.answers = [f"Sure!\n```json\n{GOOD}\n```"]
    assert ask(client(structured=structured)).why == "half"
    (sent,) = script.requests
    assert ("response_format" in sent) == (structured == "json_object")
    assert '"required": ["score", "why"]' in sent["messages"][0]["content"]


def test_what_was_spent_is_known(client: Callable[..., Client], tmp_path: Path) -> None:
    budget = Budget()
    ask(client(budget, price_in=2.0, price_out=10.0))
    assert budget.cost_spent == pytest.approx(1000 * 2e-6 + 100 * 10e-6)
    replies = Replies(tmp_path / "replies.db")
    spent = replies.spent()["big", "judge"]
    replies.close()
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (1, 1000, 100)
    assert spent.cost == pytest.approx(0.003)


# --- what can go wrong ----------------------------------------------------------------------------

PASSING = [
    status(429),
    status(500),
    status(503),
    lambda: Response("<html>busy</html>", content_type="text/html"),
    lambda: Response('{"choices": []}', content_type="application/json"),
    lambda: Response('{"choices": [', content_type="application/json"),
]


@pytest.mark.parametrize("answer", PASSING, ids=["429", "500", "503", "html", "empty", "cut"])
def test_what_passes_is_tried_again(
    answer: Callable[[], Response],
    client: Callable[..., Client],
    script: Script,
    slept: list[float],
) -> None:
    script.answers = [answer, answer, GOOD]
    assert ask(client()).score == 0.5
    assert len(script.requests) == 3
    assert 0.75 <= slept[0] <= 1.25 and 1.5 <= slept[1] <= 2.5


def test_as_long_as_the_provider_says(
    client: Callable[..., Client], script: Script, slept: list[float]
) -> None:
    script.answers = [status(429, **{"Retry-After": "20"}), GOOD]
    ask(client())
    assert slept == [20]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "check the key in SOME_KEY"),
        (403, "check the key in SOME_KEY"),
        (404, "check the model's name and base_url"),
        (400, "status 400; … is wrong"),  # what the server says, without the key
        (413, "status 413; … is wrong"),
    ],
)
def test_a_refusal_is_final(
    code: int, message: str, client: Callable[..., Client], script: Script, slept: list[float]
) -> None:
    script.answers = [status(code)]
    with pytest.raises(Unreachable, match=message):
        ask(client())
    assert len(script.requests) == 1 and slept == []


def test_a_provider_that_is_down_is_not_asked_for_every_item(
    client: Callable[..., Client], script: Script
) -> None:
    script.answers = [status(503)]
    one = client()
    for number in range(OPEN_AFTER):
        with pytest.raises(
            Unreachable, match=rf"big/m-1: status 503 \(… is wrong\), {TRIES} times$"
        ):
            ask(one, f"q{number}")
    asked = len(script.requests)
    assert asked == OPEN_AFTER * TRIES and one.is_down
    with pytest.raises(Unreachable, match=r"big/m-1 is down: .* \(status 503 "):
        ask(one, "one more")
    assert len(script.requests) == asked


def test_a_provider_that_is_back_is_asked_again(
    client: Callable[..., Client], script: Script
) -> None:
    now = [0.0]
    script.answers = [status(503)]
    one = client(clock=lambda: now[0])
    for number in range(OPEN_AFTER):
        with pytest.raises(Unreachable):
            ask(one, f"q{number}")
    asked = len(script.requests)
    now[0] = PROBE_EVERY_S + 1
    for _ in range(3):  # one of them looks, once
        with pytest.raises(Unreachable):
            ask(one, "still down")
    assert len(script.requests) == asked + 1
    now[0] *= 3
    script.answers = [GOOD]
    assert ask(one, "back").score == 0.5
    assert not one.is_down and ask(one, "and so on").score == 0.5


def test_a_wrong_key_is_not_tried_for_every_item(
    client: Callable[..., Client], script: Script
) -> None:
    script.answers = [status(401)]
    one = client()
    for number in range(20):
        with pytest.raises(Unreachable, match="status 401; check the key in SOME_KEY"):
            ask(one, f"q{number}")
    assert len(script.requests) == OPEN_AFTER


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, "no connection"),
        ({"timeout_s": 0.05}, "no answer within 0.05 s"),
    ],
)
def test_nobody_answers(
    settings: dict[str, Any], message: str, client: Callable[..., Client], script: Script
) -> None:
    import threading

    held = threading.Event()
    script.answers = [lambda: (held.wait(2) and Response()) or Response()]
    with pytest.raises(Unreachable, match=message):
        ask(client(**settings))
    held.set()


UNREADABLE = ["no idea", '{"score": "high", "why": 1}', "{}", "", None, "{" * 50_000]


@pytest.mark.parametrize("answer", UNREADABLE, ids=["prose", "types", "{}", "empty", "null", "{{"])
def test_a_reply_that_can_not_be_read_is_asked_for_again(
    answer: str | None, client: Callable[..., Client], script: Script, tmp_path: Path
) -> None:
    script.answers = [answer, GOOD]
    assert ask(client()).score == 0.5
    again = script.requests[-1]["messages"]
    assert "could not be read" in again[-1]["content"]
    script.requests.clear()
    script.answers = [answer]
    with pytest.raises(Unreadable, match=f"no usable reply in {READINGS} tries"):
        ask(client(), "other")
    # A connection that breaks is tried again, with the same messages.
    assert len({json.dumps(sent["messages"]) for sent in script.requests}) == READINGS
    replies = Replies(tmp_path / "replies.db")
    assert sum(one.calls for one in replies.spent().values()) == 1
    replies.close()


def test_who_gives_up_waiting_loses_no_reply(client: Callable[..., Client], script: Script) -> None:
    one = client()

    async def given_up() -> Verdict:
        task = asyncio.create_task(one.ask(Prompt("judge", "s", "a"), Verdict))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await one.ask(Prompt("judge", "s", "a"), Verdict)

    assert asyncio.run(given_up()).score == 0.5
    assert len(script.requests) == 1


# --- budgets and keys -----------------------------------------------------------------------------


def test_calls_are_limited_and_stored_replies_are_free(
    client: Callable[..., Client], script: Script
) -> None:
    one = client(Budget(calls=2))
    ask(one, "a")
    ask(one, "b")
    with pytest.raises(BudgetSpent, match="budget of 2 calls is spent"):
        ask(one, "c")
    assert ask(one, "a").score == 0.5
    assert len(script.requests) == 2


def test_tries_count_as_calls(client: Callable[..., Client], script: Script) -> None:
    script.answers = [status(503)]
    with pytest.raises(BudgetSpent):
        ask(client(Budget(calls=2)))
    assert len(script.requests) == 2


def test_cost_is_limited_with_calls_under_way(
    client: Callable[..., Client], script: Script
) -> None:
    budget = Budget(cost=0.0075)  # two and a half replies of 0.003 each
    one = client(budget, price_in=2.0, price_out=10.0, max_concurrent=20)

    async def many() -> list[object]:
        await one.ask(Prompt("judge", "s", "first"), Verdict)
        asked = [one.ask(Prompt("judge", "s", f"q{n}"), Verdict) for n in range(10)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(many())
    assert sum(isinstance(one, BudgetSpent) for one in found) == 9
    assert budget.cost_spent == pytest.approx(0.006)


def test_the_key_is_nowhere(
    client: Callable[..., Client],
    script: Script,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    one = client()
    ask(one)
    script.answers = [status(401)]
    with pytest.raises(AskError) as caught:
        ask(one, "other")
    texts = [repr(one), repr(one.provider), str(caught.value), repr(caught.value), caplog.text]
    assert all(KEY not in text for text in texts)
    for path in tmp_path.rglob("*"):
        assert KEY.encode() not in path.read_bytes(), path
