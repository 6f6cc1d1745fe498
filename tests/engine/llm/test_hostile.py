"""Servers that are broken or mean no good: nothing hangs, nothing crashes, nothing fills memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from llm_script import GOOD, Script, ask, status
from scripted_provider import completion
from werkzeug import Response

from ctv_engine.llm.asking import Unreachable, Unreadable
from ctv_engine.llm.budget import Budget
from ctv_engine.llm.client import Client
from ctv_engine.llm.endpoint import MAX_BODY_BYTES, TRIES
from ctv_engine.llm.stored import Replies


def body(made: object, **headers: str) -> Callable[[], Response]:
    return lambda: Response(json.dumps(made), content_type="application/json", headers=headers)


def choice(**changes: Any) -> dict[str, Any]:
    """Return a completion whose first choice is changed."""
    made = completion(GOOD)
    made["choices"][0] |= changes
    return made


NO_COMPLETIONS = [
    [],
    "text",
    {"choices": None},
    {"choices": "text"},
    {"choices": {"0": 1}},
    {"choices": [None]},
    {"choices": [{}]},
    choice(message=None),
    choice(message="text"),
    choice(message={"content": {"score": 1}}),
    choice(message={"content": [7]}),
]


@pytest.mark.parametrize("made", NO_COMPLETIONS, ids=repr)
def test_what_is_no_completion_is_an_answer_of_nobody(
    made: object, client: Callable[..., Client], script: Script
) -> None:
    script.answers = [body(made)]
    with pytest.raises(Unreachable, match="no reply of this protocol"):
        ask(client())
    assert len(script.requests) == TRIES


USAGES: list[Any] = [
    None, "many", [], {}, {"prompt_tokens": "1"}, {"prompt_tokens": -5, "completion_tokens": -5},
    {"prompt_tokens": 10**30, "completion_tokens": True}, {"prompt_tokens": None},
]  # fmt: skip


@pytest.mark.parametrize("usage", USAGES, ids=repr)
def test_counts_that_can_not_be_are_not_counted(
    usage: Any, client: Callable[..., Client], script: Script, tmp_path: Path
) -> None:
    script.answers = [body(completion(GOOD) | {"usage": usage})]
    budget = Budget(cost=1.0)
    assert ask(client(budget, price_in=2.0, price_out=2.0)).score == 0.5
    assert budget.cost_spent == 0.0
    replies = Replies(tmp_path / "replies.db")
    spent = replies.spent()["big", "judge"]
    replies.close()
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (1, 0, 0)


def test_a_text_in_parts(client: Callable[..., Client], script: Script) -> None:
    parts = [{"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]}]
    script.answers = [body(choice(message={"content": parts}))]
    assert ask(client()).why == "half"


def test_thinking_aloud_is_no_reply(client: Callable[..., Client], script: Script) -> None:
    script.answers = [f'<think>{{"score": 1}} or so?</think>{GOOD}']
    assert ask(client()).score == 0.5


UNFINISHED = [
    (choice(finish_reason="length", message={"content": GOOD[:9]}), "a larger max_tokens may help"),
    (choice(finish_reason="content_filter", message={"content": ""}), "filter held the reply back"),
    (choice(message={"content": None, "refusal": "I can't"}), "the model refused to answer"),
]


@pytest.mark.parametrize(("made", "message"), UNFINISHED, ids=["length", "filter", "refusal"])
def test_why_a_reply_is_not_whole(
    made: object, message: str, client: Callable[..., Client], script: Script
) -> None:
    script.answers = [body(made)]
    with pytest.raises(Unreadable, match=message):
        ask(client())


def test_halves_of_surrogate_pairs_pass(client: Callable[..., Client], script: Script) -> None:
    script.answers = ["\ud800" + GOOD]
    assert ask(client(), "What is \ud83d?").score == 0.5
    assert script.requests[0]["messages"][1]["content"] == "What is ??"


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 65_536


LARGE = [
    lambda: Response(endless(), content_type="application/json"),
    lambda: Response(endless(), status=400, content_type="application/json"),
    lambda: Response(
        gzip.compress(b" " * (2 * MAX_BODY_BYTES)),
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    ),
]


@pytest.mark.parametrize("answer", LARGE, ids=["endless", "endless refusal", "packed"])
def test_a_body_that_never_ends_is_cut(
    answer: Callable[[], Response], client: Callable[..., Client], script: Script
) -> None:
    script.answers = [answer, GOOD]
    assert ask(client()).score == 0.5
    script.answers = [answer]
    with pytest.raises(Unreachable, match=f"an answer of more than {MAX_BODY_BYTES:,} bytes"):
        ask(client(), "again")


def test_a_body_that_drips_is_given_up(client: Callable[..., Client], script: Script) -> None:
    ends = time.monotonic() + 5

    def drip() -> Iterator[bytes]:
        while time.monotonic() < ends:
            time.sleep(0.01)
            yield b" "

    script.answers = [lambda: Response(drip(), content_type="application/json"), GOOD]
    assert ask(client(timeout_s=0.3)).score == 0.5
    assert time.monotonic() < ends


def test_a_packed_reply_is_read(client: Callable[..., Client], script: Script) -> None:
    packed = gzip.compress(json.dumps(completion(GOOD)).encode())
    script.answers = [
        lambda: Response(
            packed, content_type="application/json", headers={"Content-Encoding": "gzip"}
        )
    ]
    assert ask(client()).score == 0.5
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [("7", 7, 7), ("1e9", 60, 60), ("nan", 0, 2), ("soon", 0, 2), ("-3", 0, 2), ("date", 20, 31)],
)
def test_retry_after_in_every_form(
    given: str,
    least: float,
    most: float,
    client: Callable[..., Client],
    script: Script,
    slept: list[float],
) -> None:
    value = formatdate(time.time() + 30, usegmt=True) if given == "date" else given
    script.answers = [status(429, **{"Retry-After": value}), GOOD]
    ask(client())
    assert least <= slept[0] <= most


def test_settings_that_some_models_refuse_are_left_out(
    client: Callable[..., Client], script: Script
) -> None:
    settings = {"temperature": "default", "seed": "default", "limit_name": "max_completion_tokens"}
    ask(client(**settings, max_tokens=77))
    (sent,) = script.requests
    assert not {"temperature", "seed", "max_tokens"} & sent.keys()
    assert sent["max_completion_tokens"] == 77


WRITER = """
import sys
from pathlib import Path
from ctv_engine.llm.stored import Replies
replies = Replies(Path(sys.argv[1]))
for n in range(100):
    replies.keep(f"{n % 60}", "{}", provider="p", model="m", purpose="x", input_tokens=1,
                 output_tokens=1, cost=0.0)
"""


def test_processes_share_the_file_of_replies(tmp_path: Path) -> None:
    path = tmp_path / "replies.db"
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(3)]
    assert [one.wait(60) for one in started] == [0, 0, 0]
    replies = Replies(path)
    assert replies.spent()["p", "x"].calls == 60
    replies.close()
