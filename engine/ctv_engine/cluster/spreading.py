"""Seeing to it that a machine has the files that its workers need, before they need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ctv_engine.cluster.calls import Answer
from ctv_engine.cluster.members import Node
from ctv_engine.cluster.messages import Files
from ctv_engine.cluster.trees import Tree

LOOK_S = 10.0
"""So long a shared file system may take to show what the engine has just written."""
KEPT_CHECKPOINTS = 2

Then = Callable[[str | None], None]
"""Goes on with the files, or takes why there will be none."""


class Caller(Protocol):
    """Calls actors; the answer or the error comes later."""

    def look(self, node: Node, tree: Tree, patience_s: float, answer: Answer) -> None:
        """Ask a machine whether it sees a tree."""

    def fetch(self, node: Node, tree: Tree, answer: Answer) -> None:
        """Let a machine copy a tree."""

    def drop(self, node: Node, digest: str, answer: Answer) -> None:
        """Let a machine remove a copy."""

    def is_there(self, tree: Tree) -> bool:
        """Tell whether the engine's machine still has a tree."""

    def set_aside(self, node: Node, reason: str) -> None:
        """Use a machine no more until :meth:`take_back`."""

    def take_back(self, node: Node) -> None:
        """Use a machine again."""


@dataclass
class _Held:
    """What is known of one tree on one machine; ``path`` is where it is."""

    node: Node
    tree: Tree
    path: Path | None = None
    missing: str | None = None
    looking: bool = False
    fetching: bool = False
    dropping: bool = False
    waiting: list[Then] = field(default_factory=list)


class Spreading:
    """Where every tree is on every machine.

    ``auto`` asks all machines. Where another machine than the engine's sees a tree, there is a
    shared file system, and one that does not see it is set aside; where none does, each gets a
    copy.
    """

    def __init__(self, files: Files, home: str, caller: Caller) -> None:
        self._files = files
        self._home = home
        self._call = caller
        self._held: dict[tuple[str, str], _Held] = {}
        self._copied: set[str] = set()
        """What no other machine sees: nobody looks for the next one's files for seconds."""

    def need(self, node: Node, trees: Sequence[Tree], nodes: Sequence[Node], then: Then) -> None:
        """Call ``then`` as soon as a machine has all of the trees; ``nodes`` are all machines."""

        def go_on(reason: str | None) -> None:
            if reason is None:
                self.need(node, trees, nodes, then)
            else:
                then(reason)

        for tree in trees:
            held = self._get(node, tree)
            if held.path is None:
                held.waiting.append(go_on)
                others = nodes if self._files == "auto" else ()
                for one in {node.node_id: node, **{n.node_id: n for n in others}}.values():
                    self._ask(self._get(one, tree))
                return
        then(None)

    def path(self, node: Node, tree: Tree) -> Path:
        """Return where a tree is on a machine that has it.

        Raises:
            KeyError: it does not have it.
        """
        path = self._held[node.node_id, tree.digest].path
        if path is None:
            raise KeyError(tree.digest)
        return path

    def forget(self, node: Node) -> None:
        """Forget a machine that is gone."""
        mine = [held for held in self._held.values() if held.node.node_id == node.node_id]
        for held in mine:
            self._forget(held)
        for held in mine:
            if held.looking:  # others wait for what it would have said
                self._decide(held.tree)

    def clear(self, node: Node, used: frozenset[str]) -> None:
        """Forget old checkpoints that nobody on a machine uses, with their copies."""
        kept = [
            held
            for (node_id, _), held in self._held.items()
            if node_id == node.node_id and held.tree.what == "checkpoint" and held.path is not None
        ]
        for held in kept[:-KEPT_CHECKPOINTS]:
            if held.tree.digest in used:
                continue
            if held.path == held.tree.directory:
                del self._held[node.node_id, held.tree.digest]
            else:
                self._drop(held)

    def look_again(self, node: Node) -> None:
        """Ask a machine that was set aside whether it sees by now what it could not see."""
        for held in list(self._held.values()):
            if held.node.node_id == node.node_id and held.missing and not held.looking:
                held.missing = None
                if self._call.is_there(held.tree):
                    self._ask(held)
                else:
                    self._give_up(held)

    # --- one tree on one machine --------------------------------------------------------------

    def _get(self, node: Node, tree: Tree) -> _Held:
        key = (node.node_id, tree.digest)
        held = self._held.get(key)
        # The same content may be in two directories, of which one goes away before the other.
        if held is None or (held.path == held.tree.directory != tree.directory):
            held = self._held[key] = _Held(node, tree)
            if node.node_id == self._home:
                held.path = tree.directory
        return held

    def _ask(self, held: _Held) -> None:
        if held.path or held.looking or held.fetching or held.dropping or held.missing:
            return
        if self._files == "ship" or held.tree.what in self._copied:
            self._fetch(held)
            return
        held.looking = True

        def answer(reason: Any, error: Exception | None) -> None:
            held.looking = False
            if not self._is_known(held):
                return
            if error is not None:
                reason = _words(error)
            if reason is None:
                self._found(held, held.tree.directory)
            else:
                held.missing = str(reason)
            self._decide(held.tree)

        self._call.look(held.node, held.tree, LOOK_S, answer)

    def _decide(self, tree: Tree) -> None:
        """Judge those that don't see a tree, once all have looked."""
        held = [one for one in self._held.values() if one.tree.digest == tree.digest]
        elsewhere = [one for one in held if one.node.node_id != self._home]
        if self._files == "auto" and any(one.looking for one in elsewhere):
            return
        shared = self._files == "shared" or any(one.path == tree.directory for one in elsewhere)
        for one in elsewhere:
            if one.missing is None:
                continue
            if not self._call.is_there(tree):
                self._give_up(one)
            elif not shared:
                one.missing = None
                self._copied.add(tree.what)
                self._fetch(one)
            elif one.node.state == "joined":
                self._call.set_aside(
                    one.node,
                    f"it can't read the {tree.what} ({one.missing}); mount that directory there as"
                    " on the others, or start the engine with --files ship",
                )

    def _fetch(self, held: _Held) -> None:
        held.fetching = True

        def answer(path: Any, error: Exception | None) -> None:
            held.fetching = False
            if not self._is_known(held):
                return
            if error is None:
                self._found(held, Path(path))
            elif not self._call.is_there(held.tree):
                self._give_up(held)
            else:
                held.missing = _words(error)
                self._call.set_aside(
                    held.node, f"it can't keep a copy of the {held.tree.what}: {held.missing}"
                )

        self._call.fetch(held.node, held.tree, answer)

    def _drop(self, held: _Held) -> None:
        # Calls of a machine's actor may overtake each other: no copy is asked for until it is gone.
        held.path, held.dropping = None, True

        def answer(_: Any, error: Exception | None) -> None:
            if not self._is_known(held):
                return
            held.dropping = False
            if held.waiting:
                self._ask(held)
            else:
                self._forget(held)

        self._call.drop(held.node, held.tree.digest, answer)

    def _found(self, held: _Held, path: Path) -> None:
        held.path = path
        self._settle(held, None)

    def _give_up(self, held: _Held) -> None:
        """Take a tree for gone everywhere: no machine can be blamed for what the engine's lacks."""
        self._forget(held)
        self._settle(held, f"the {held.tree.what} is gone: {held.tree.directory}")

    def _settle(self, held: _Held, reason: str | None) -> None:
        held.missing = None
        mine = [one for one in self._held.values() if one.node.node_id == held.node.node_id]
        if held.node.state == "set aside" and not any(one.missing for one in mine):
            self._call.take_back(held.node)
        waiting, held.waiting = held.waiting, []
        for then in waiting:
            then(reason)

    def _forget(self, held: _Held) -> None:
        del self._held[held.node.node_id, held.tree.digest]

    def _is_known(self, held: _Held) -> bool:
        """Tell whether an answer is still about a machine that is there."""
        return self._held.get((held.node.node_id, held.tree.digest)) is held


def _words(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
