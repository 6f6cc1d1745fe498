"""The coordinator's crew on a scripted pool: whatever write fails, nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.runtime.messages import (
    Checkpoint,
    FromWorker,
    Heartbeat,
    ItemResult,
    Lengths,
    Unit,
    UnitDone,
    UnitFailed,
    WorkerLost,
    WorkerReady,
)
from ctv_engine.service.crew import Crew
from ctv_engine.service.ledger import Ledger
from ctv_engine.service.outbox import Outbox
from ctv_engine.settings import Settings
from ctv_engine.store.writer import Writer

Answer = Callable[[Unit], FromWorker]


class ScriptedPool:
    """Workers that are ready at once and answer each unit as a function says."""

    def __init__(self, devices: tuple[str, ...], answer: Answer) -> None:
        self.devices = devices
        self.answer = answer
        self.alive: set[int] = set()
        self.killed: list[int] = []
        self.silent: set[int] = set()
        self.messages: list[tuple[int, FromWorker]] = []
        self.broken: set[str] = set()

    def capacity(self) -> tuple[str, ...]:
        return self.devices

    def start(self, worker_id: int, device: str) -> int | None:
        if device in self.broken:
            raise OSError("cannot fork")
        self.alive.add(worker_id)
        self.messages.append((worker_id, WorkerReady(f"gpu-{device}", "kind")))
        return 1000 + worker_id

    def send(self, worker_id: int, unit: Unit) -> None:
        message = measured(unit) if unit.task == "measure" else self.answer(unit)
        if isinstance(message, Heartbeat):  # the last that is heard of it
            self.silent.add(worker_id)
        self.messages.append((worker_id, message))
        if isinstance(message, WorkerLost):
            self.alive.discard(worker_id)

    def receive(self, timeout_s: float) -> list[tuple[int, FromWorker]]:
        messages, self.messages = self.messages, []
        return [(w, m) for w, m in messages if w not in self.killed]

    def kill(self, worker_id: int) -> None:
        self.killed.append(worker_id)
        self.alive.discard(worker_id)


class NoPoller:
    def watch_process(self, *_: Any) -> None: ...
    def forget_process(self, *_: Any) -> None: ...


class Desk:
    """A crew, its ledger and an outbox whose steps are repeated until they succeed."""

    def __init__(self, place: Path, suite: Any, answer: Answer, devices: tuple[str, ...]) -> None:
        self.writer = Writer(place / "run.db")
        (place / "checkpoint-7").mkdir(exist_ok=True)
        self.settings = Settings(
            db=str(place / "run.db"),
            suite=str(suite.directory),
            checkpoints=(str(place / "checkpoint-7"),),
            batch_size=4,
            hang_s=5.0,
            silence_s=3.0,
        )
        self.ledger = Ledger(self.writer, self.settings, suite, None, "here")
        number = self.writer.add_checkpoint(self.ledger.run_id, 7, str(place / "checkpoint-7"), 1.0)
        self.checkpoint = Checkpoint(number, 7, place / "pin", "digest", "processor")
        self.pool = ScriptedPool(devices, answer)
        self.outbox = Outbox()
        self.crew = Crew(self.pool, self.ledger, NoPoller(), "here", self.outbox.soon)  # type: ignore[arg-type]
        self.ledger.evaluations._still_holds = lambda checkpoint: True  # there is no pin
        self.ledger.evaluations.queue(self.checkpoint, ["closed"])
        self.failures = 0
        self.crew.start_all()

    def flush(self) -> None:
        try:
            self.outbox.flush()
        except sqlite3.OperationalError:
            self.failures += 1

    def turn(self) -> None:
        self.crew.listen(0.0)
        self.flush()
        if not self.outbox:
            try:
                self.crew.replace_overdue()
                self.crew.replenish()
                self.crew.feed()
            except sqlite3.OperationalError:
                self.failures += 1
            self.flush()
            try:
                self.ledger.evaluations.sweep()
            except sqlite3.OperationalError:
                self.failures += 1

    def run(self, turns: int = 200) -> None:
        for _ in range(turns):
            self.turn()
            if (
                self.ledger.evaluations.scheduler.idle
                and not self.outbox
                and not self.pool.messages
            ):
                return
        raise AssertionError("not finished")

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        queries = {
            "predictions": "SELECT i.dataset, i.key, p.status, p.reason, p.attempt"
            " FROM predictions p JOIN items i ON i.id = p.item_id ORDER BY 1, 2",
            "evaluations": "SELECT mode, schedule, state, reason, planned, done, failed,"
            " started_at IS NULL, finished_at IS NULL FROM evaluations",
            "checkpoints": "SELECT state, reason FROM checkpoints",
            "workers": "SELECT device, gpu_uuid, pid IS NULL, state FROM workers"
            " ORDER BY device, id",
            "events": "SELECT level, kind, message FROM events"
            " WHERE kind <> 'evaluation' ORDER BY id",
            "told": "SELECT DISTINCT level, kind, message FROM events ORDER BY message",
            "ends": "SELECT count(*) FROM events WHERE kind = 'evaluation'",
        }
        return {name: self.writer.query(sql) for name, sql in queries.items()}


def measured(unit: Unit) -> UnitDone:
    lengths = tuple(Lengths((item.dataset, item.key), 9, 5) for item in unit.batch.items)
    return UnitDone(unit.unit_id, (), (), lengths=lengths)


def lasting(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """Leave out what depends on which worker failed first: attempts, devices, order of events."""
    return {name: kept for name, kept in rows.items() if name != "events"} | {
        "predictions": [row[:-1] for row in rows["predictions"]],
        "workers": sorted(row[2:] for row in rows["workers"]),
    }


def done(unit: Unit) -> UnitDone:
    results = tuple(
        ItemResult((item.dataset, item.key), answer="A", score=1.0, correct=True, gold_prob=1.0)
        for item in unit.batch.items
    )
    return UnitDone(unit.unit_id, results, (), ())


def holds(unit: Unit, key: str) -> bool:
    return any((item.dataset, item.key) == ("short", key) for item in unit.batch.items)


def trouble(unit: Unit) -> FromWorker:
    """One item needs too much memory, one kills its worker, one is unknown trouble."""
    if holds(unit, "0-3"):
        return UnitFailed(unit.unit_id, "memory", "out of memory")
    if holds(unit, "0-5"):
        return WorkerLost("killed by signal 9")
    if holds(unit, "0-8"):
        return UnitFailed(unit.unit_id, "batch", "ValueError: x")
    return done(unit)


def hopeless(unit: Unit) -> FromWorker:
    return UnitFailed(unit.unit_id, "checkpoint", "NaN or infinite weights")


@pytest.fixture
def desk(tmp_path: Path, suite: Any) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(name: str, answer: Answer, devices: tuple[str, ...] = ("cpu:0", "cpu:1")) -> Desk:
        (tmp_path / name).mkdir()
        desks.append(Desk(tmp_path / name, suite, answer, devices))
        return desks[-1]

    yield make
    for one in desks:
        one.writer.close()


def test_every_item_ends_with_an_answer_or_a_reason(desk: Callable[..., Desk]) -> None:
    one = desk("plain", trouble)
    one.run()
    rows = one.rows()
    reasons = {key: reason for dataset, key, _, reason, _ in rows["predictions"] if reason}
    assert reasons == {
        "0-3": "out of memory",
        "0-5": "2 workers died on it: killed by signal 9",
        "0-8": "ValueError: x",
    }
    assert len(rows["predictions"]) == 24
    ((mode, schedule, state, reason, planned, answered, failed, *_),) = rows["evaluations"]
    assert (mode, schedule, state, planned) == ("closed", "queue", "done", 24)
    assert (answered, failed) == (21, 3)
    assert reason.startswith("3 of 24 items have no answer")
    assert rows["checkpoints"] == [("done", None)]


@pytest.mark.parametrize("answer", [trouble, hopeless])
def test_a_write_that_fails_at_any_moment_changes_nothing(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """Each transaction of the run in turn is refused once, as by a full disk."""
    calm = desk("calm", answer)
    count = 0
    real = Writer.transaction

    @contextmanager
    def counted(self: Writer) -> Iterator[sqlite3.Connection]:
        nonlocal count
        count += 1
        with real(self) as connection:
            yield connection

    monkeypatch.setattr(Writer, "transaction", counted)
    calm.run()
    wanted, writes = lasting(calm.rows()), count
    assert writes > 10
    for refused in range(1, writes + 1):
        monkeypatch.setattr(Writer, "transaction", real)
        one = desk(f"refused-{refused}", answer)
        turn = 0

        @contextmanager
        def refusing(self: Writer, refused: int = refused) -> Iterator[sqlite3.Connection]:
            nonlocal turn
            turn += 1
            if turn == refused:
                raise sqlite3.OperationalError("database or disk is full")
            with real(self) as connection:
                yield connection

        monkeypatch.setattr(Writer, "transaction", refusing)
        one.run()
        assert one.failures == 1
        assert lasting(one.rows()) == wanted, f"write {refused} of {writes}"


def test_a_checkpoint_that_cannot_be_evaluated_ends_once(desk: Callable[..., Desk]) -> None:
    """Both workers say so at the same time."""
    one = desk("broken", hopeless)
    one.run()
    rows = one.rows()
    assert rows["checkpoints"] == [("failed", "NaN or infinite weights")]
    assert rows["predictions"] == []
    assert [kind for _, kind, _ in rows["events"]] == ["checkpoint"]
    assert not one.crew.busy


def test_a_device_that_disappears_is_set_aside_with_an_event(desk: Callable[..., Desk]) -> None:
    one = desk("gone", done)
    one.pool.broken.add("cpu:1")
    one.run()
    rows = one.rows()
    messages = [message for _, _, message in rows["events"]]
    assert messages.count("no worker could be started on cpu:1: cannot fork") == 3
    assert messages[-1] == "cpu:1 set aside: its workers die without finishing a batch"
    assert [row[0] for row in rows["workers"] if row[3] == "lost"] == ["cpu:1"] * 3
    assert rows["evaluations"][0][5] == 24, "the other device does the work"
    assert not one.crew.hopeless


def test_without_any_device_the_crew_is_hopeless(desk: Callable[..., Desk]) -> None:
    one = desk("none", done, ("cpu:0",))
    one.pool.broken.add("cpu:0")
    for _ in range(5):
        one.turn()
    assert one.crew.hopeless


def test_a_silent_worker_is_killed_replaced_and_said_so(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []

    def answer(unit: Unit) -> FromWorker:
        if not stopped and holds(unit, "0-3"):
            stopped.append(unit.unit_id)
            return Heartbeat()
        return done(unit)

    one = desk("silent", answer)
    now = 100.0
    monkeypatch.setattr(one.ledger.evaluations.scheduler, "_clock", lambda: now)
    while not one.pool.killed:
        now += 1.0
        assert now < 200
        one.pool.messages += [(w, Heartbeat()) for w in one.pool.alive - one.pool.silent]
        one.turn()
    one.run()
    rows = one.rows()
    assert len(one.pool.killed) == 1
    (event,) = rows["events"]
    assert event[:2] == ("error", "worker")
    assert event[2] in (f"worker on cpu:{n} killed: no heartbeat for 4 s" for n in (0, 1))
    assert [row[3] for row in rows["workers"]].count("lost") == 1
    assert len(rows["workers"]) == 3
    assert {(status, attempt) for _, _, status, _, attempt in rows["predictions"]} == {
        ("ok", 1),
        ("ok", 2),
    }
