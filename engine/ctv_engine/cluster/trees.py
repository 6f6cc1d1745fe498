"""Directories that a machine needs: found there, or copied there once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ctv_engine.checkpoints.pin import digest
from ctv_engine.suite import SuiteError, read_suite

PIECE_BYTES = 8 * 2**20
POLL_S = 0.5
IN_THE_WAY_S = 10.0
"""So long a copy may be in the way that is broken, but in use, or is about to be removed."""
KEPT_S = 86_400.0
"""Copies that nobody used for a day make room when the next engine comes."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Files of a directory. ``digest`` is that of the suite, or of the files' content.

    ``what`` is what people call it; ``files`` are relative paths with sizes in bytes.
    """

    kind: Literal["suite", "files"]
    what: str
    directory: Path
    files: Mapping[str, int]
    digest: str


Piece = tuple[str, int]
"""File and offset of up to ``PIECE_BYTES``."""


class TreeError(OSError):
    """Why a directory is not what it should be on a machine."""


def files_of(directory: Path) -> dict[str, int]:
    """Return the files below a directory, hidden ones left out, with their sizes.

    Raises:
        OSError: it can't be read.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such directory")
    found: list[str] = []
    for root, folders, names in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(root).relative_to(directory)
        found += [str(below / name) for name in names if not name.startswith(".")]
    return {name: (directory / name).stat().st_size for name in sorted(found)}


def files_tree(what: str, directory: Path) -> Tree:
    """Return a directory as it is now.

    Raises:
        OSError: it can't be read.
    """
    files = files_of(directory)
    return Tree("files", what, directory, files, digest(directory, list(files)))


def pieces(tree: Tree) -> Iterator[Piece]:
    """Yield the pieces of all files, in order; an empty file has none."""
    for name, size in tree.files.items():
        for offset in range(0, size, PIECE_BYTES):
            yield name, offset


def check(tree: Tree, directory: Path) -> None:
    """Make sure that ``directory`` holds what the tree should.

    Raises:
        TreeError: it does not; the text says what is missing or differs.
    """
    if not directory.is_dir():
        raise TreeError(f"no such directory: {directory}")
    try:
        if tree.kind == "suite":
            found = read_suite(directory).digest
        else:
            found = digest(directory, list(tree.files))
    except SuiteError as error:
        raise TreeError(str(error).splitlines()[0]) from error
    except OSError as error:
        raise TreeError(f"{error.filename or directory}: {error.strerror or error}") from error
    if found != tree.digest:
        raise TreeError(f"{directory} has other content than on the engine's machine")


def look(tree: Tree, patience_s: float) -> str | None:
    """Return why a machine can't see a tree where the engine has it, or None if it can.

    A shared file system may show new files only after some seconds.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            check(tree, tree.directory)
        except TreeError as error:
            if time.monotonic() >= end:
                return str(error)
            time.sleep(POLL_S)
        else:
            return None


def is_there(tree: Tree) -> bool:
    """Tell whether the engine's machine still has all of a tree's files."""
    return tree.directory.is_dir() and all((tree.directory / name).exists() for name in tree.files)


class Shelf:
    """Copies of trees on one machine, under their digests.

    Engines of one user share them. A copy in use is locked for as long as the process lives that
    uses it, so that no other removes it.
    """

    def __init__(self, root: Path | None = None) -> None:
        """Use ``root``, by default a directory of this user among the temporary files.

        Raises:
            OSError: it can't be made.
        """
        self.root = root or Path(tempfile.gettempdir()) / f"ctv-tui-{os.getuid()}"
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.root.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise PermissionError(f"{self.root} is not a directory of this user; remove it")
        self._locks: dict[str, int] = {}
        for path in self.root.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > KEPT_S:
                    _remove_unused(path)

    def find(self, tree: Tree) -> Path | None:
        """Return a copy that is there already and whole; it is in use from then on."""
        place = self.root / tree.digest
        lock = self._locks.pop(tree.digest, -1)
        try:
            if lock < 0:
                lock = _lock(place)
                check(tree, place)  # temporary files are cleaned up, file by file
            os.utime(place)
        except OSError:
            if lock >= 0:
                os.close(lock)
            return None
        self._locks[tree.digest] = lock
        return place

    def copy(self, tree: Tree, contents: Iterator[bytes]) -> Path:
        """Copy a tree here from the contents of its pieces; it appears whole or not at all.

        Raises:
            TreeError: what came is not what should have come.
            OSError: it can't be written.
        """
        place = self.find(tree)
        if place is not None:
            return place
        partial = Path(tempfile.mkdtemp(prefix=f"{tree.digest}.", suffix=".partial", dir=self.root))
        lock = _lock(partial)
        try:
            for name in tree.files:
                target = partial / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            for (name, _), content in zip(pieces(tree), contents, strict=True):
                with (partial / name).open("ab") as file:
                    file.write(content)
            check(tree, partial)
            end = time.monotonic() + IN_THE_WAY_S
            while place is None:
                try:
                    place = partial.rename(self.root / tree.digest)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    place = self.find(tree)  # another engine was quicker, or left a broken one
                    if place is None and not _make_room(self.root / tree.digest):
                        if time.monotonic() > end:
                            raise
                        time.sleep(POLL_S)
                else:
                    self._locks[tree.digest], lock = lock, -1
        finally:
            if lock >= 0:
                os.close(lock)
                shutil.rmtree(partial, ignore_errors=True)
        return place

    def drop(self, tree_digest: str) -> None:
        """Use a copy no longer; the last one to do so removes it."""
        lock = self._locks.pop(tree_digest, None)
        if lock is not None:
            os.close(lock)
        _make_room(self.root / tree_digest)


def _lock(directory: Path) -> int:
    """Return a shared lock on a directory, which lasts until it is closed.

    Raises:
        OSError: there is no such directory, or it is being removed.
    """
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), directory.stat()):
            raise FileNotFoundError(f"{directory} was removed")
    except OSError:
        os.close(lock)
        raise
    return lock


def _make_room(directory: Path) -> bool:
    """Remove a directory unless somebody uses it; tell whether it is gone."""
    try:
        _remove_unused(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove_unused(directory: Path) -> None:
    """Remove a directory that nobody has locked.

    Raises:
        OSError: it is in use, or can't be removed.
    """
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        going = tempfile.mkdtemp(suffix=".partial", dir=directory.parent)
        shutil.rmtree(directory.rename(going))
    finally:
        os.close(lock)


def read_piece(tree: Tree, piece: Piece) -> bytes:
    """Return a piece of one of a tree's files.

    Raises:
        PermissionError: the file is not one of the tree's.
        OSError: it can't be read.
    """
    name, offset = piece
    if name not in tree.files:
        raise PermissionError(f"{name} is no file of {tree.directory}")
    with (tree.directory / name).open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)
