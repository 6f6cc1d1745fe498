"""`ctv-tui suite build` with language models behind HTTP, and whatever may happen to them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import published
import pytest
from click.testing import CliRunner, Result
from pytest_httpserver import HTTPServer
from scripted_provider import KEY, KEY_ENV, ScriptedProvider
from waiting import wait_until

from ctv_engine.construction.prompts.wording import MISTAKES
from ctv_engine.llm import endpoint
from ctv_engine.suite import read_suite
from ctv_engine.suite.provenance import read_provenance
from ctv_tui.cli import cli, suite_build_models

TREES = ("oak", "elm", "fir", "ash", "yew", "box", "bay", "fig", "gum", "nut")
ITEMS = 4
EACH = 5 + 1 + 1 + 2
"""Calls per item without review: proposers, selection, rating, two annotators."""


def form_of(body: dict[str, Any]) -> str:
    name: str = body["response_format"]["json_schema"]["name"]
    return name


def item_of(body: dict[str, Any]) -> dict[str, Any]:
    content = body["messages"][1]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    quoted: dict[str, Any] = json.loads(text.split("\n")[1])
    return quoted


def answer(body: dict[str, Any]) -> dict[str, Any] | int:
    """Proposes words with the kind in them, keeps them, and knows which option is a tree."""
    match form_of(body):
        case "Proposals":
            system = body["messages"][0]["content"]
            kind = next(kind for kind, mistake in MISTAKES.items() if mistake in system)
            return {"distractors": [{"text": f"{kind} {n}", "reason": "So."} for n in range(3)]}
        case "Review":
            return {"remarks": [{"number": 1, "judgement": "keep", "comment": ""}]}
        case "Selection":
            return {"reason": "", "numbers": [1, 2, 3]}
        case "Rating":
            return {"reasoning": "", "score": 5, "issue": "", "faulty": []}
        case "Answer":
            options = item_of(body)["options"]
            right = next(a for a, text in options.items() if text.split()[0] in TREES)
            return {"reason": "Seen.", "letter": right}
    raise AssertionError(body)


@pytest.fixture(scope="module")
def server() -> Iterator[HTTPServer]:
    with HTTPServer(threaded=True) as running:
        yield running


@pytest.fixture
def provider(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    server.clear()
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setattr(endpoint, "FIRST_WAIT_S", 0.001)
    return ScriptedProvider(server, answer)


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {
            "type": "human_test",
            "question": f"Which tree is number {n}?",
            "answer": f"{TREES[n % 10]} {n}",
            "image": published.hf(n),
        }
        for n in range(20)
    ]
    return published.parquet(tmp_path_factory.mktemp("charts") / "test.parquet", rows)


class Call:
    """The command with two annotators and no review, into one directory."""

    def __init__(self, provider: ScriptedProvider, charts: Path, tmp_path: Path) -> None:
        self.provider = provider
        self.out = tmp_path / "suite"
        file = provider.file(tmp_path / "providers.toml", "maker", "eye", "ear")
        self.arguments = [
            "suite", "build", "--out", str(self.out), "--source", f"chartqa={charts}",
            "--n", str(ITEMS), "--providers", str(file), "--convert", "maker",
            "--review", "none", "--annotate", "eye", "--annotate", "ear",
        ]  # fmt: skip

    def __call__(self, *more: str) -> Result:
        return CliRunner().invoke(cli, [*self.arguments, *more])

    def stored(self) -> int:
        """How many replies are on disk."""
        path = self.out / "replies.db"
        if not path.is_file():
            return 0
        db = sqlite3.connect(path)
        try:
            return int(db.execute("SELECT count(*) FROM replies").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0
        finally:
            db.close()


@pytest.fixture
def build(provider: ScriptedProvider, charts: Path, tmp_path: Path) -> Call:
    return Call(provider, charts, tmp_path)


def asked(requests: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(body, sort_keys=True) for body in requests)


def test_models_convert_and_annotate(build: Call) -> None:
    done = build()
    assert done.exit_code == 0, done.output
    suite = read_suite(build.out)
    assert len(suite.items) == ITEMS
    forms = Counter(form_of(body) for body in build.provider.requests)
    assert forms == {"Proposals": 20, "Selection": 4, "Rating": 4, "Answer": 8}
    assert {body["model"] for body in build.provider.requests} == {"m-maker", "m-eye", "m-ear"}
    for item in suite.items:
        assert item.options[item.gold_index or 0] == item.answers[0]
    rows = read_provenance(build.out)
    assert all(row["models"]["propose"] == "maker/m-maker" for row in rows.values())
    assert all(row["ratings"] == [5] for row in rows.values())


def test_the_plan_is_shown_first_and_what_was_spent_last(build: Call) -> None:
    lines = build("--max-calls", "100").output.splitlines()
    assert lines[0] == "to convert: 4 items; to annotate: 4"
    assert lines[1].split() == ["provider", "calls", "least", "most", "tokens", "in", "out", "cost"]
    assert lines[2].split()[:4] == ["maker/m-maker", "30", "28", "76"]
    assert lines[3].split()[:4] == ["eye/m-eye", "4", "4", "4"]
    assert "budget: 100 calls; stored replies cost nothing" in lines
    # 36 calls of 1,000 tokens in at 2.0 a million and 100 out at 10.0.
    assert lines[-1] == "36 calls sent, cost 0.108"


def test_a_review_is_made_unless_told_otherwise(build: Call) -> None:
    place = build.arguments.index("--review")
    del build.arguments[place : place + 2]
    assert build().exit_code == 0
    assert Counter(map(form_of, build.provider.requests))["Review"] == 5 * ITEMS


def test_other_providers_may_review_and_rate(build: Call) -> None:
    assert build("--rate", "eye", "--review", "ear").exit_code == 0
    by_model = {(body["model"], form_of(body)) for body in build.provider.requests}
    assert {one for one in by_model if one[1] in ("Rating", "Review")} == {
        ("m-eye", "Rating"),
        ("m-ear", "Review"),
    }


def test_who_made_the_options_is_warned_of_as_an_annotator(build: Call) -> None:
    done = build("--annotate", "maker", "--dry-run")
    assert "warning: maker/m-maker made the options and annotates them too" in done.output
    assert "warning" not in build("--dry-run").output


def test_the_same_call_again_sends_nothing(build: Call) -> None:
    first = build()
    sent = len(build.provider.requests)
    again = build()
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert len(build.provider.requests) == sent == EACH * ITEMS
    restarted = build("--restart")
    assert restarted.exit_code == 0
    assert restarted.output.splitlines()[-1] == "0 calls sent"
    assert len(build.provider.requests) == sent


def test_a_dry_run_asks_nobody(build: Call) -> None:
    done = build("--dry-run")
    assert done.exit_code == 0
    assert "to convert: 4 items" in done.output
    assert not build.provider.requests
    assert not (build.out / "suite.toml").exists()
    assert build().exit_code == 0
    assert "nothing is left to convert or annotate" in build("--dry-run").output


def test_a_dry_run_by_rule_converts_nothing(build: Call) -> None:
    source = build.arguments[:7]
    done = CliRunner().invoke(cli, [*source, "4", "--dry-run"])
    assert (done.exit_code, done.output) == (
        0,
        "to convert by rule: 4 items; no model is asked\n",
    )
    assert not (build.out / "suite.toml").exists()


@pytest.mark.parametrize(("said", "sent"), [("n\n", 0), ("y\n", EACH * ITEMS)])
def test_on_a_terminal_the_user_is_asked(
    build: Call, monkeypatch: pytest.MonkeyPatch, said: str, sent: int
) -> None:
    monkeypatch.setattr(suite_build_models, "is_terminal", lambda: True)
    done = CliRunner().invoke(cli, build.arguments, input=said)
    assert "Go on?" in done.output
    assert len(build.provider.requests) == sent
    assert ("not begun" in done.output) == (sent == 0)


@pytest.mark.parametrize("budget", [0, 3, 25, 33])
def test_a_budget_is_not_exceeded_and_the_next_call_repeats_nothing(
    build: Call, budget: int
) -> None:
    done = build("--max-calls", str(budget))
    assert done.exit_code == 1
    assert f"stopped: the budget of {budget} calls is spent" in done.output
    assert len(build.provider.requests) == build.stored() == budget
    assert build().exit_code == 0
    assert len(build.provider.requests) == EACH * ITEMS
    assert max(asked(build.provider.requests).values()) == 1


def test_a_cost_is_not_exceeded(build: Call) -> None:
    done = build("--max-cost", "0.05")  # a call costs 0.003
    assert done.exit_code == 1
    assert "stopped: the budget of 0.05 is spent" in done.output
    assert 3 * len(build.provider.requests) <= 50 + 16 * 3  # but for those at once at first


def test_a_provider_that_goes_down_in_the_middle(build: Call) -> None:
    answered: list[dict[str, Any]] = []

    def going_down(body: dict[str, Any]) -> dict[str, Any] | int:
        if len(answered) >= 12:
            return 503
        answered.append(body)
        return answer(body)

    build.provider.answer = going_down
    done = build("--n", "12")
    assert done.exit_code == 1
    assert "stopped: 8 items in a row without a reply: maker/m-maker" in done.output
    assert "12 items wait; repeat the command to go on" in done.output
    assert "Traceback" not in done.output
    assert build.stored() == 12
    build.provider.answer = answer
    build.provider.requests.clear()
    again = build("--n", "12").output
    assert "items wait" not in again
    # The scripted models give every item the same wrong options, which an audit finds.
    assert "audit: fail" in again
    assert len(build.provider.requests) == 12 * EACH - 12
    assert not asked(answered) & asked(build.provider.requests)


def test_replies_that_are_not_the_form_leave_the_item_for_another_call(build: Call) -> None:
    def hostile(body: dict[str, Any]) -> dict[str, Any] | int:
        return {"score": "<script>" * 99} if form_of(body) == "Rating" else answer(body)

    build.provider.answer = hostile
    done = build()
    assert done.exit_code == 1
    assert "4 items: waits: maker/m-maker: no usable reply in 3 tries" in done.output
    assert "script" not in done.output
    build.provider.answer = answer
    assert build().exit_code == 0


def test_a_killed_build_goes_on_and_repeats_no_call(build: Call) -> None:
    released = threading.Event()
    answered: list[dict[str, Any]] = []
    lock = threading.Lock()

    def holding(body: dict[str, Any]) -> dict[str, Any] | int:
        with lock:
            mine = len(answered) < 15
            if mine:
                answered.append(body)
        if not mine:
            released.wait(60)
        return answer(body)

    build.provider.answer = holding
    command = [sys.executable, "-m", "ctv_tui", *build.arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: build.stored() == 15, 60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        released.set()
    build.provider.answer = answer
    build.provider.requests.clear()
    done = build()
    assert done.exit_code == 0, done.output
    assert len(build.provider.requests) == EACH * ITEMS - 15
    assert not asked(answered) & asked(build.provider.requests)


def test_the_key_is_in_no_file_and_no_output(build: Call, tmp_path: Path) -> None:
    build.provider.answer = lambda body: 401
    refused = build()
    build.provider.answer = answer
    done = build()
    assert done.exit_code == 0
    assert f"check the key in {KEY_ENV}" in refused.output
    assert KEY not in refused.output + done.output
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"replies.db", "build.db", "provenance.jsonl"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--convert", "nobody"], "no provider is called 'nobody'; there are maker, eye, ear"),
        (["--providers", "none.toml"], "none.toml: can't be read"),
        (["--annotate", "eye"], "annotators named twice"),
        (["--convert", "rules", "--rate", "eye"], "review and rate belong to a conversion"),
    ],
)
def test_what_can_not_be_asked_is_said_before_anything_is_sent(
    build: Call, arguments: list[str], message: str
) -> None:
    done = build(*arguments)
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output
    assert not build.provider.requests


def test_a_key_that_is_not_set_is_named(build: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ENV)
    done = build()
    assert done.exit_code == 2
    assert f"the environment variable {KEY_ENV} is not set" in done.output


def test_replies_that_are_no_database_are_left_alone(build: Call) -> None:
    build.out.mkdir()
    (build.out / "replies.db").write_bytes(b"something else" * 99)
    done = build()
    assert done.exit_code == 2
    assert "replies.db: file is not a database; remove it" in done.output
    assert (build.out / "replies.db").read_bytes() == b"something else" * 99


def test_a_build_by_rule_needs_none_of_the_packages_of_models(build: Call) -> None:
    code = (
        "import sys; sys.modules['openai'] = sys.modules['pydantic'] = None\n"
        "from ctv_tui.cli import cli; cli()"
    )
    program = [sys.executable, "-c", code]
    done = subprocess.run([*program, *build.arguments[:7], "4"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    asking = subprocess.run(
        [*program, *build.arguments, "--restart"], capture_output=True, text=True, check=False
    )
    assert asking.returncode == 2
    assert asking.stderr == "Error: asking a model takes pip install 'ctv-tui[suite]'\n"
