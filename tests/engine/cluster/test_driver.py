"""What the driver does about workers that do not begin, commands that fail, stuck answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ctv_engine.cluster import calls, driver
from ctv_engine.cluster.actors import STREAMED, WorkerActor, _Channel
from ctv_engine.cluster.calls import Calls
from ctv_engine.cluster.driver import BEGIN_S, Driver, _Worker
from ctv_engine.cluster.members import Node
from ctv_engine.cluster.messages import ClusterSettings, KillWorker, Refused, Said
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.runtime.messages import Heartbeat, UnitFailed, WorkerLost

WORKER = WorkerSettings(device="cuda:0", dtype="auto", processor=None)


class Desk:
    """Ray, the calls, the machines and the pipe of a driver, as far as it asks them."""

    spreading = None

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(driver, "Calls", lambda _: self)
        monkeypatch.setattr(driver, "Membership", lambda *_: self)
        self.ray = self
        self.did: list[Any] = []
        self.commands: list[Any] = []
        settings = ClusterSettings(None, WORKER, None, "auto", silence_s=10.0)
        self.driver = Driver(self, settings, "head:6379")  # type: ignore[arg-type]

    def add(self, worker_id: int, **values: Any) -> None:
        node = Node("id-a", "a", "10.0.0.2", 4)
        self.driver._workers[worker_id] = _Worker(node, WORKER, **values)

    def leave(self, stream: Any) -> None: ...

    def kill(self, handle: Any) -> None:
        self.did.append(f"{handle} killed")

    def look_round(self) -> None:
        self.did.append("looked round")

    def send(self, message: Any) -> None:
        self.did.append(message)

    def recv(self) -> Any:
        return self.commands.pop(0)


def test_a_worker_that_waits_for_its_place_is_neither_silent_nor_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two engines may have seen the same free GPU: Ray keeps one of their workers waiting."""
    desk = Desk(monkeypatch)
    desk.add(1)  # its files are on the way
    desk.add(2, handle="two", asked_at=1000.0)
    desk.add(3, handle="three", asked_at=1000.0, begun=True)
    desk.driver._speak_for_those_who_wait(1000.0 + BEGIN_S)
    assert desk.did == [Said(1, Heartbeat(waits=True)), Said(2, Heartbeat())]
    desk.did.clear()
    desk.driver._speak_for_those_who_wait(1001.0 + BEGIN_S)
    heartbeat, killed, looked, said = desk.did
    assert heartbeat == Said(1, Heartbeat(waits=True))
    assert (killed, looked) == ("two killed", "looked round")
    assert said.worker_id == 2 and isinstance(said.message, WorkerLost)
    assert said.message.blameless and "another job may have its GPU" in said.message.reason


def test_time_in_which_files_are_on_their_way_is_not_the_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    under_way = {7: "digest", 8: "other"}
    desk.add(1, handle="one", asked_at=1.0, begun=True, units=dict(under_way), coming={8})
    desk.add(2, handle="two", asked_at=1.0, begun=True, units=dict(under_way), coming={7, 8})
    desk.add(3, handle="three", asked_at=1.0, begun=True)
    desk.driver._speak_for_those_who_wait(2.0)
    assert desk.did == [Said(2, Heartbeat(waits=True))]


def test_a_driver_that_can_not_obey_says_so_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.add(1, handle="one")
    desk.commands = [KillWorker(1)]
    monkeypatch.setattr(desk, "kill", lambda _: {}["broken"])
    ends: list[int] = []

    def end(status: int) -> None:
        ends.append(status)
        raise SystemExit(status)

    monkeypatch.setattr(driver.os, "_exit", end)
    with pytest.raises(SystemExit):
        desk.driver._obey()
    assert ends == [0]
    assert desk.did == [Refused("the driver of Ray failed: KeyError: 'broken'")]


def test_an_answer_that_does_not_arrive_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one stays on its machine until it is fetched, and that may be gone by then."""
    waited: list[float] = []

    class Ray:
        def wait(self, refs: list[Any], **_: Any) -> Any:
            return refs, []

        def get(self, ref: str, timeout: float) -> str:
            waited.append(timeout)
            if ref == "stuck":
                raise TimeoutError("Get timed out")
            return f"value of {ref}"

    one = Calls.__new__(Calls)
    one.ray, one._turn = Ray(), threading.RLock()  # type: ignore[assignment]
    one._asked, one._streams = {}, {}
    heard: list[Any] = []
    stuck = iter(["stuck"])
    one.follow(lambda: stuck, lambda value, error: heard.append(error))
    one.ask("good", lambda value, error: heard.append(value))
    one.listen()
    assert isinstance(heard[0], TimeoutError) and heard[1] == "value of good"
    assert waited == [calls.GET_S] * 2 and stuck not in one._streams


def test_streams_end_and_are_followed_by_others_without_a_gap() -> None:
    """Ray's memory of a stream ends with it."""

    class Ray:
        def wait(self, refs: list[Any], **_: Any) -> Any:
            return refs, []

        def get(self, ref: str, timeout: float) -> str:
            return ref

    worker = WorkerActor.__new__(WorkerActor)
    worker._channel = _Channel()
    said = [UnitFailed(number, "batch", "") for number in range(2 * STREAMED + 1)]
    for message in said:
        worker._channel.send(message)
    one = Calls.__new__(Calls)
    one.ray, one._turn = Ray(), threading.RLock()  # type: ignore[assignment]
    one._asked, one._streams = {}, {}
    streams: list[Any] = []

    def begin() -> Any:
        streams.append(worker.listen())
        return streams[-1]

    heard: list[Any] = []
    followed = one.follow(begin, lambda value, _: heard.append(value))
    while len(heard) < len(said):
        one.listen()
    assert heard == said
    assert len(streams) == 3 and list(one._streams) == streams[2:]
    one.leave(followed)
    assert not one._streams
