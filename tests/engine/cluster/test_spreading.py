"""Who gets a copy, who reads the shared file system, and who is set aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctv_engine.cluster.calls import Answer
from ctv_engine.cluster.members import Node, differences, hosts_of, in_our_time, versions
from ctv_engine.cluster.spreading import Spreading
from ctv_engine.cluster.trees import Tree
from ctv_engine.runtime.messages import TimedSpan, UnitDone

HOME = "id-home"
ON = "goes on"


class Desk:
    """Machines of which some see the files; answers come when :meth:`settle` is called."""

    def __init__(self, files: Any, seeing: set[str], full: tuple[str, ...] = ()) -> None:
        self.nodes = [Node(f"id-{n}", n, "10.0.0.1", 1) for n in ("home", "a", "b")]
        self.seeing, self.full = seeing, full
        self.spreading = Spreading(files, HOME, self)
        self.waiting: list[Any] = []
        self.done: list[str] = []
        self.looked: list[str] = []
        self.gone: set[str] = set()
        self.dropped: list[tuple[str, str]] = []

    def look(self, node: Node, tree: Tree, patience_s: float, answer: Answer) -> None:
        self.looked.append(node.host)
        reason = None if node.host in self.seeing else "no such directory: /run"
        self.waiting.append(lambda: answer(reason, None))

    def fetch(self, node: Node, tree: Tree, answer: Answer) -> None:
        self.done.append(f"copy to {node.host}")
        error = OSError(28, "No space left on device") if node.host in self.full else None
        self.waiting.append(lambda: answer(Path("/copies") / tree.digest, error))

    def drop(self, node: Node, digest: str, answer: Answer) -> None:
        self.dropped.append((node.host, digest))
        self.waiting.append(lambda: answer(None, None))

    def is_there(self, tree: Tree) -> bool:
        return tree.digest not in self.gone

    def set_aside(self, node: Node, reason: str) -> None:
        node.state, node.reason = "set aside", reason

    def take_back(self, node: Node) -> None:
        node.state, node.reason = "joined", None

    def need(self, host: str, tree: Tree) -> None:
        node = self.node(host)
        self.spreading.need(
            node, [tree], self.nodes, lambda reason: self.done.append(f"{host} {reason or ON}")
        )

    def node(self, host: str) -> Node:
        return next(node for node in self.nodes if node.host == host)

    def settle(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def tree(number: int = 1) -> Tree:
    return Tree("files", "checkpoint", Path(f"/run/{number}"), {"f": 1}, f"d{number}")


def test_where_all_see_the_files_nothing_is_copied() -> None:
    desk = Desk("auto", {"a", "b"})
    for host in ("home", "a", "b"):
        desk.need(host, tree())
    assert desk.done == ["home goes on"]
    desk.settle()
    assert sorted(desk.done) == ["a goes on", "b goes on", "home goes on"]
    assert desk.spreading.path(desk.node("a"), tree()) == Path("/run/1")


def test_where_no_other_machine_sees_them_each_gets_one_copy() -> None:
    desk = Desk("auto", set())
    desk.need("a", tree())
    desk.need("a", tree())
    desk.settle()
    assert desk.done.count("copy to a") == 1 and desk.done.count("a goes on") == 2
    desk.need("b", tree())
    desk.settle()
    assert desk.done.count("copy to b") == 1 and desk.done[-1] == "b goes on"
    assert desk.spreading.path(desk.node("b"), tree()) == Path("/copies/d1")
    assert sorted(desk.looked) == ["a", "b"]
    desk.need("a", tree(2))
    desk.settle()
    assert sorted(desk.looked) == ["a", "b"], "the next checkpoint is not looked for"
    assert desk.done[-1] == "a goes on"


@pytest.mark.parametrize("files", ["auto", "shared"])
def test_a_machine_that_lacks_the_mount_is_set_aside_until_it_has_it(files: Any) -> None:
    desk = Desk(files, {"a"})
    desk.need("a", tree())
    desk.need("b", tree())
    desk.settle()
    node = desk.node("b")
    assert desk.done == ["a goes on"] and node.state == "set aside"
    assert "/run" in (node.reason or "") and "--files ship" in (node.reason or "")
    desk.seeing.add("b")
    desk.spreading.look_again(node)
    desk.settle()
    assert node.state == "joined" and "b goes on" in desk.done


def test_a_machine_whose_disk_is_full_is_set_aside_with_the_reason() -> None:
    desk = Desk("ship", set(), full=("a",))
    desk.need("a", tree())
    desk.settle()
    assert desk.node("a").state == "set aside"
    assert "No space left on device" in (desk.node("a").reason or "")


def test_old_copies_make_room_but_never_those_in_use() -> None:
    desk = Desk("ship", set())
    for number in range(1, 6):
        desk.need("a", tree(number))
        desk.settle()
    desk.spreading.clear(desk.node("a"), frozenset({"d2"}))
    desk.settle()
    assert desk.dropped == [("a", "d1"), ("a", "d3")]
    shared = Desk("auto", {"a", "b"})
    for number in range(1, 6):
        shared.need("a", tree(number))
        shared.settle()
    shared.spreading.clear(shared.node("a"), frozenset())
    assert shared.dropped == [], "what is shared is nobody's to drop"
    with pytest.raises(KeyError):
        shared.spreading.path(shared.node("a"), tree(1))


@pytest.mark.parametrize("files", ["auto", "shared", "ship"])
def test_no_machine_is_blamed_for_what_the_engine_has_no_more(files: Any) -> None:
    """A checkpoint that failed, or was done without this machine, while it looked or copied."""
    desk = Desk(files, {"a"}, full=("a", "b"))
    desk.need("b", tree())
    desk.gone.add("d1")
    desk.settle()
    assert desk.done[-1] == "b the checkpoint is gone: /run/1"
    assert [node.state for node in desk.nodes] == ["joined"] * 3


def test_a_machine_is_back_when_what_it_lacked_is_gone_everywhere() -> None:
    desk = Desk("shared", {"a"})
    desk.need("b", tree())
    desk.settle()
    assert desk.node("b").state == "set aside"
    desk.gone.add("d1")
    desk.spreading.look_again(desk.node("b"))
    assert desk.node("b").state == "joined"
    assert desk.done == ["b the checkpoint is gone: /run/1"]


@pytest.mark.parametrize("files", ["auto", "ship"])
def test_a_machine_that_left_while_it_looked_or_copied_stays_away(files: Any) -> None:
    desk = Desk(files, set(), full=("a",))
    desk.need("a", tree())
    desk.node("a").state = "left"
    desk.spreading.forget(desk.node("a"))
    desk.settle()
    assert desk.node("a").state == "left" and "a goes on" not in desk.done


def test_nobody_waits_for_what_a_machine_that_left_would_have_seen() -> None:
    desk = Desk("auto", set())
    desk.need("a", tree())
    look_of_a, look_of_b = sorted(desk.waiting, key=lambda _: desk.looked.pop(0))
    desk.waiting.clear()
    look_of_a()
    assert desk.done == []
    desk.spreading.forget(desk.node("b"))
    assert desk.done == ["copy to a"]
    look_of_b()
    desk.settle()
    assert desk.done == ["copy to a", "a goes on"]


def test_what_is_being_dropped_is_copied_again_after_that() -> None:
    """Calls of one actor may overtake each other."""
    desk = Desk("ship", set())
    for number in range(1, 4):
        desk.need("a", tree(number))
        desk.settle()
    desk.spreading.clear(desk.node("a"), frozenset())
    desk.done.clear()
    desk.need("a", tree(1))
    assert desk.dropped == [("a", "d1")] and desk.done == []
    desk.settle()
    assert desk.done == ["copy to a", "a goes on"]


def test_equal_weights_in_two_directories_are_read_from_the_one_that_is_asked_for() -> None:
    desk = Desk("auto", {"a", "b"})
    first, second = tree(1), replace(tree(1), directory=Path("/run/2"))
    for one in (first, second):
        for host in ("home", "a"):
            desk.need(host, one)
            desk.settle()
            assert desk.spreading.path(desk.node(host), one) == one.directory


def test_machines_have_names_of_their_own() -> None:
    def one(node_id: str, name: str, address: str, alive: bool = True) -> dict[str, Any]:
        return {
            "NodeID": node_id, "NodeName": name, "NodeManagerAddress": address,
            "NodeManagerHostname": "vm", "Alive": alive,
        }  # fmt: skip

    listed = [
        one("aaaaaaaa", "10.0.0.1", "10.0.0.1"), one("bbbbbbbb", "10.0.0.2", "10.0.0.2"),
        one("cccccccc", "gpu/7", "10.0.0.3"), one("dddddddd", "gone", "10.0.0.4", alive=False),
    ]  # fmt: skip
    assert hosts_of(listed) == {
        "aaaaaaaa": "vm-aaaaaa", "bbbbbbbb": "vm-bbbbbb", "cccccccc": "gpu-7",
    }  # fmt: skip


def test_versions_that_could_move_a_score_are_compared() -> None:
    ours = versions()
    assert differences(ours, ours) == []
    built = ours | {"torch": ours["torch"].partition("+")[0] + "+cu130"}
    assert differences(ours, built) == []
    theirs = {name: version for name, version in ours.items() if name != "transformers"}
    (found,) = differences(ours, theirs | {"torch": ours["torch"]})
    assert found == f"transformers not installed instead of {ours['transformers']}"


def test_the_clock_of_the_shortest_round_trip_counts() -> None:
    node = Node("id", "a", "10.0.0.1", 1)
    assert node.offset_s is None and node.row().clock_error_s is None
    node.note_clock(100.0, 105.9, 102.0)  # half of it lasted 1 s, one way
    node.note_clock(200.0, 205.005, 200.01)
    assert node.offset_s == pytest.approx(5.0) and node.row().clock_error_s == pytest.approx(0.005)
    done = UnitDone(1, (), (TimedSpan("prefill", 1005.0, 1006.0),))
    moved = in_our_time(done, node.offset_s)
    assert isinstance(moved, UnitDone)
    assert moved.spans[0].started_at == pytest.approx(1000.0)
    assert moved.spans[0].ended_at == pytest.approx(1001.0)
