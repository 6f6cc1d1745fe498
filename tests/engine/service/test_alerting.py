"""Alerts from a database, and how they reach a command and a webhook."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from waiting import wait_until
from werkzeug import Request, Response

from ctv_engine.service.alerting import WEBHOOK_ENV, Alerting, Notifier
from ctv_engine.service.tracking import track
from ctv_engine.stats.alerts import Alert
from ctv_engine.store.rows import DatasetRow, ItemRow, PredictionRow, SpanRow
from ctv_engine.store.writer import Writer

ALERT = Alert("drop", 300, "closed fell")
ITEMS = 400


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    one = Writer(tmp_path / "run.db")
    yield one
    one.close()


Right = Callable[[int], bool]


def drops_of(writer: Writer, *answers: Right, per_image: int = 1) -> list[tuple[Any, ...]]:
    """Score checkpoints 100, 200, … closed, each as it is said; return the drops."""
    items = writer.add_suite(
        "s",
        [DatasetRow("d", "exact_match", ITEMS)],
        [
            ItemRow("d", f"{n:03d}", "?", "[]", 0, "[]", "i", f"i{n // per_image}")
            for n in range(ITEMS)
        ],
    )
    run = writer.open_run(
        name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=None, config_json="{}",
        versions_json="{}", host="h",
    )  # fmt: skip
    worker = writer.add_worker(run, "h", "cpu:0")
    told: list[tuple[Any, ...]] = []
    alerting = Alerting(writer, run, lambda *event: told.append(event), Notifier("r", None, 0))
    for place, right in enumerate(answers, start=1):
        step = 100 * place
        checkpoint = writer.add_checkpoint(run, step, f"/r/{step}", step)
        writer.set_checkpoint(checkpoint, "ready", ready_at=float(step))
        number = writer.add_evaluation(checkpoint, "closed", "queue", ITEMS)
        writer.start_evaluation(number)
        rows = [
            PredictionRow(
                number, item, 0, worker, 0, 1, "ok", correct=int(right(n)), option_mass=0.9
            )
            for n, item in enumerate(items.values())
        ]
        writer.add_results(rows, [], {})
        writer.finish_evaluation(number, "done")
        track(writer, run, 8)
        alerting.look_at_score(step, "closed", checkpoint)
    return [event for event in told if "fell" in event[2]]


def test_a_drop_in_a_run_becomes_an_event(writer: Writer) -> None:
    told = drops_of(writer, lambda n: n < 300, lambda n: n < 310, lambda n: n < 200)
    ((level, kind, message, which),) = told
    assert (level, kind, which) == ("warning", "alert", 3)
    assert message.startswith("step 300: closed fell from 0.775 (step 200) to 0.500: by 0.2")
    assert message.endswith("with 95 % confidence, on the same 400 items")
    ((low, high),) = writer.query(
        "SELECT change_low, change_high FROM ranking WHERE step = 300 AND window = 1"
    )
    assert f"by {-high:.3f} to {-low:.3f} with" in message


def test_a_drop_is_told_by_the_same_items_not_by_two_scores_apart(writer: Writer) -> None:
    """12 of 400 items are lost and none is won: two standard errors of 0.02 would hide that."""
    told = drops_of(writer, lambda n: n % 5 > 0, lambda n: n % 5 > 0 and n % 33 != 1)
    assert [event[2][:21] for event in told] == ["step 200: closed fell"]


def test_items_about_one_picture_are_lost_together(writer: Writer) -> None:
    """Of 100 pictures 7 are lost and 2 won: as 28 and 8 of 400 items that would be told."""
    told = drops_of(writer, lambda n: not 28 <= n < 36, lambda n: n >= 28, per_image=4)
    assert told == []


@pytest.mark.parametrize("waits", [False, True])
def test_waiting_is_told_once_it_is_known_to_be_waiting(writer: Writer, waits: bool) -> None:
    """When closed ends, the second worker has left it long ago: for open, or for nothing."""
    items = writer.add_suite("s", [DatasetRow("d", "anls", 1)], [])
    assert not items
    run = writer.open_run(
        name="r", checkpoint_dir="/r", suite_digest="s", gold_digest=None, config_json="{}",
        versions_json="{}", host="h",
    )  # fmt: skip
    workers = [writer.add_worker(run, "h", f"cpu:{n}") for n in (0, 1)]
    for worker in workers:
        writer.set_worker(worker, "ready")
    begin = time.time() + 1
    told: list[str] = []
    alerting = Alerting(writer, run, lambda *event: told.append(event[2]), Notifier("r", None, 0))
    numbers = {}
    for step in (100, 200):
        checkpoint = writer.add_checkpoint(run, step, f"/r/{step}", step)
        for mode in ("closed", "open"):
            numbers[step, mode] = writer.add_evaluation(checkpoint, mode, "queue", 0)  # type: ignore[arg-type]
        closed, opened = numbers[step, "closed"], numbers[step, "open"]
        spans = [(workers[0], closed, 0.0, 10.0), (workers[1], closed, 0.0, 2.0)]
        writer.add_results([], [SpanRow(w, e, None, "prefill", begin + a, begin + b)
                                for w, e, a, b in spans])  # fmt: skip
        writer.finish_evaluation(closed, "done")
        ((at_the_end,),) = writer.query(
            "SELECT idle_fraction FROM evaluations WHERE id = ?", closed
        )
        assert at_the_end == pytest.approx(8 / 20)
        alerting.look(step, "closed", checkpoint)
        if not waits:
            later = SpanRow(workers[1], opened, None, "decode", begin + 2, begin + 11)
            writer.add_results([], [later])
            writer.finish_evaluation(opened, "done")
        begin += 20
    alerting.close()
    waiting = "step 100: closed: 40% of 2 workers' time was spent waiting for others"
    assert [text for text in told if "waiting" in text] == ([waiting] if waits else [])


def test_a_command_gets_words_and_json(tmp_path: Path) -> None:
    script = tmp_path / "told.py"
    script.write_text(
        "import json, os, sys\n"
        "json.dump([json.load(sys.stdin), os.environ['CTV_ALERT']], open(sys.argv[1], 'w'))\n"
    )
    out = tmp_path / "told.json"
    notifier = Notifier("my run", f"{sys.executable} {script} '{out}'", 0)
    notifier.notify(ALERT)
    notifier.close()
    body, words = json.loads(out.read_text())
    assert words == body["text"] == "my run, step 300: closed fell"
    assert body["alerts"] == [{"kind": "drop", "step": 300, "message": "closed fell"}]
    assert notifier.problems() == []


def test_what_comes_too_soon_is_in_the_next_message(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[Any] = []

    def take(request: Request) -> Response:
        bodies.append(json.loads(request.data))
        return Response("ok")

    httpserver.expect_request("/hook").respond_with_handler(take)
    monkeypatch.setenv(WEBHOOK_ENV, httpserver.url_for("/hook"))
    notifier = Notifier("r", None, 3600)
    notifier.notify(ALERT)
    wait_until(lambda: len(bodies) == 1)
    for step in (400, 500):
        notifier.notify(Alert("behind", step, "x"))
    notifier.close()
    assert [[one["step"] for one in body["alerts"]] for body in bodies] == [[300], [400, 500]]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/no/such/command", "can't be run"),
        (
            f"{sys.executable} -c 'import sys; sys.exit(\"no route\")'",
            "ended with status 1 no route",
        ),
    ],
)
def test_a_command_that_fails_is_told_once(command: str, problem: str) -> None:
    notifier = Notifier("r", command, 0)
    for _ in range(3):
        notifier.notify(ALERT)
    notifier.close()
    (found,) = notifier.problems()
    assert problem in found


def test_a_webhook_that_fails_does_not_give_its_address_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WEBHOOK_ENV, "http://127.0.0.1:9/secret-token")
    notifier = Notifier("r", None, 0)
    notifier.notify(ALERT)
    notifier.close()
    (found,) = notifier.problems()
    assert "can't be reached" in found and "secret" not in found


def test_without_anybody_to_tell_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_ENV, raising=False)
    notifier = Notifier("r", None, 0)
    notifier.notify(ALERT)
    notifier.close()
    assert notifier.problems() == []
