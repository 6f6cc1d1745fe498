"""What becomes of a cluster's machines, without a cluster: calls are answered by the test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ctv_engine.cluster import membership
from ctv_engine.cluster.calls import Answer
from ctv_engine.cluster.members import Node, versions
from ctv_engine.cluster.membership import Membership
from ctv_engine.cluster.messages import ClusterSettings, Places, Readings
from ctv_engine.runtime.answering import WorkerSettings
from ctv_engine.store.rows import NodeRow, SampleRow
from ctv_engine.telemetry.device import empty
from ctv_engine.telemetry.poller import News

AHEAD_S = 100.0


class Remote:
    """A function, a class, an actor or a method; what it is asked for is its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Remote:
        return Remote(name)

    def options(self, **_: Any) -> Remote:
        return self

    def remote(self, *_: Any) -> Any:
        return self


class Desk:
    """In the place of Ray and :class:`ctv_engine.cluster.calls.Calls`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cpu_workers: int | None = None) -> None:
        monkeypatch.setattr(Membership, "_list", lambda _: None)
        self.home, self.ray = "id-home", self
        self.asked: list[tuple[str, Answer]] = []
        self.streams: dict[Any, Answer] = {}
        self.killed: list[Any] = []
        self.told: list[Any] = []
        worker = WorkerSettings(device="", dtype="auto", processor=None)
        settings = ClusterSettings(None, worker, cpu_workers, "auto", silence_s=1e9)
        self.members = Membership(
            self,  # type: ignore[arg-type]
            settings,
            "head:6379",
            self.told.append,
            lambda node: [],
            lambda node, reason: None,
        )

    def on(self, node_id: str, remote: Any, **_: Any) -> Remote:
        return Remote(remote.__name__)

    def ask(self, ref: Remote, answer: Answer, within_s: float | None = None) -> None:
        self.asked.append((ref.name, answer))

    def follow(self, begin: Callable[[], Any], take: Answer) -> Any:
        stream = begin()
        self.streams[stream] = take
        return stream

    def leave(self, stream: Any) -> None:
        self.streams.pop(stream, None)

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def see(self, **resources: float) -> None:
        """Let Ray list one machine, with nothing of it taken."""
        self.members._listed = [
            {
                "NodeID": "id-a", "NodeName": "a", "NodeManagerAddress": "10.0.0.2",
                "NodeManagerHostname": "a", "Alive": True, "Resources": resources,
            }
        ]  # fmt: skip
        self.members._free = {"id-a": resources}
        self.members.look_round()

    def answer(self, name: str, value: Any = None, error: Exception | None = None) -> None:
        asked, answer = self.asked.pop(0)
        assert asked == name
        answer(value, error)

    def join(self) -> Node:
        """Let the machine say everything up to its first readings."""
        self.answer("theirs", versions())
        self.answer("clock", 0.0)
        self.answer("clock", time.time() + AHEAD_S)
        (take,) = self.streams.values()
        self.read = lambda: take(Readings(self.now(), samples=(self.sample(),)), None)
        self.read()
        (node,) = self.members.ready()
        return node

    read: Callable[[], None]

    @staticmethod
    def now() -> float:
        return time.time() + AHEAD_S

    def sample(self) -> SampleRow:
        return empty(Gpu, "error", "why", self.now())  # type: ignore[arg-type]

    def kinds(self, kind: Any) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]


class Gpu:
    gpu_uuid = "GPU-0"
    host = "a"


def test_the_very_first_reading_is_in_our_time(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.see(GPU=2.0)
    desk.join()
    (readings,) = desk.kinds(Readings)
    assert readings.samples[0].at == pytest.approx(time.time(), abs=AHEAD_S / 2)
    (row,) = desk.kinds(NodeRow)
    assert row.clock_offset_s == pytest.approx(AHEAD_S, abs=AHEAD_S / 2)


def test_what_speaks_for_a_machine_that_was_cut_off_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may well live on there; the machine gets another one when it is back."""
    desk = Desk(monkeypatch)
    desk.see(GPU=2.0)
    node = desk.join()
    agent = node.agent
    desk.members.lose(node, "it was cut off")
    assert desk.killed == [agent] and not desk.streams


@pytest.mark.parametrize("silent", ["theirs", "clock"])
def test_a_machine_on_which_nothing_starts_is_asked_again(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "RETRY_S", 0.0)
    desk = Desk(monkeypatch)
    desk.see(GPU=2.0)
    for _ in range(2):
        if silent == "clock":
            desk.answer("theirs", versions())
        desk.answer(silent, None, TimeoutError("no answer"))
        (news,) = desk.kinds(News)
        assert "nothing can be started on it: no answer" in news.text
        desk.members.look_round()
        desk.members.look_round()
        assert [name for name, _ in desk.asked] == ["theirs"], "asked once at a time"
    assert len(desk.killed) == (2 if silent == "clock" else 0)
    assert desk.join().state == "joined"
    desk.members.look_round()
    assert desk.kinds(Places)[-1].places == ("a/cuda:0", "a/cuda:1")


def test_what_was_told_of_a_machine_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "RETRY_S", 0.0)
    desk = Desk(monkeypatch)
    desk.see(GPU=2.0)
    for _ in range(3):
        desk.answer("theirs", versions() | {"torch": "1.0"})
        desk.members.look_round()
    (news,) = desk.kinds(News)
    assert "it has torch 1.0 instead of" in news.text


@pytest.mark.parametrize(("cpus", "places"), [(2.0, 2), (8.0, 4)])
def test_no_more_cpu_workers_than_ray_has_cpus(
    cpus: float, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would let the others wait for ever."""
    desk = Desk(monkeypatch, cpu_workers=4)
    desk.see(CPU=cpus)
    desk.join()
    desk.members.look_round()
    assert len(desk.kinds(Places)[-1].places) == places
