"""What a unit needs on the machine where it is answered, and the unit with the paths of there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ctv_engine.cluster.trees import Tree, files_of, files_tree
from ctv_engine.runtime.messages import Unit


class Needs:
    """Directories of the engine's machine as trees, as they were when they were first needed."""

    def __init__(self, suites: Mapping[Path, str]) -> None:
        """Begin; ``suites`` are the digests of those that are asked."""
        self._suites = suites
        self._known: dict[Path, Tree] = {}

    def tree(self, what: str, directory: Path, digest: str | None = None) -> Tree:
        """Return a directory as a tree; ``digest`` is that of its files where it is known.

        Raises:
            OSError: it can't be read.
        """
        if directory not in self._known:
            suite = self._suites.get(directory)
            if suite is not None:
                tree = Tree("suite", what, directory, files_of(directory), suite)
            elif digest is not None:
                tree = Tree("files", what, directory, files_of(directory), digest)
            else:
                tree = files_tree(what, directory)
            self._known[directory] = tree
        return self._known[directory]

    def of(self, unit: Unit) -> list[Tree]:
        """Return what a unit needs, the checkpoint first.

        Raises:
            OSError: something can't be read.
        """
        checkpoint = unit.checkpoint
        suites = {batch.suite_directory for batch in (unit.batch, unit.probe) if batch is not None}
        trees = [self.tree("suite", directory) for directory in sorted(suites)]
        if checkpoint.base is None:
            return [self.tree("checkpoint", checkpoint.directory, checkpoint.digest), *trees]
        # The digest of a checkpoint with a base model is that of both.
        own = self.tree("checkpoint", checkpoint.directory)
        return [own, self.tree("base model", checkpoint.base), *trees]


def as_seen_there(unit: Unit, trees: Sequence[Tree], where: Callable[[Tree], Path]) -> Unit:
    """Return a unit with its directories as they are on another machine."""
    there = {tree.directory: where(tree) for tree in trees}
    if all(path == directory for directory, path in there.items()):
        return unit
    base = unit.checkpoint.base
    checkpoint = replace(
        unit.checkpoint,
        directory=there[unit.checkpoint.directory],
        base=None if base is None else there[base],
    )
    batch = replace(unit.batch, suite_directory=there[unit.batch.suite_directory])
    probe = unit.probe
    if probe is not None:
        probe = replace(probe, suite_directory=there[probe.suite_directory])
    return replace(unit, checkpoint=checkpoint, batch=batch, probe=probe)
