"""Files of a cluster's machines: seen where the engine has them, or copied whole."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from ctv_engine.cluster.trees import (
    KEPT_S,
    PIECE_BYTES,
    Shelf,
    Tree,
    TreeError,
    files_of,
    files_tree,
    look,
    pieces,
    read_piece,
)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    place = tmp_path / "checkpoint-1"
    (place / "deep").mkdir(parents=True)
    (place / "large").write_bytes(bytes(PIECE_BYTES) + b"end")
    (place / "deep" / "small").write_bytes(b"x")
    (place / "empty").touch()
    (place / ".hidden").write_bytes(b"not ours")
    return files_tree("checkpoint", place)


def contents(tree: Tree) -> Any:
    return (read_piece(tree, piece) for piece in pieces(tree))


def test_a_copy_is_the_same_and_is_made_once(tree: Tree, tmp_path: Path) -> None:
    assert dict(tree.files) == {"deep/small": 1, "empty": 0, "large": PIECE_BYTES + 3}
    assert list(pieces(tree)) == [("deep/small", 0), ("large", 0), ("large", PIECE_BYTES)]
    shelf = Shelf(tmp_path / "shelf")
    copy = shelf.copy(tree, contents(tree))
    for name in tree.files:
        assert (copy / name).read_bytes() == (tree.directory / name).read_bytes()
    assert shelf.copy(tree, iter(())) == copy
    shelf.drop(tree.digest)
    assert shelf.find(tree) is None


@pytest.mark.parametrize("wrong", [[b"x", b"other", b"end"], [b"x"]])
def test_what_is_not_what_it_should_be_does_not_stay(
    tree: Tree, tmp_path: Path, wrong: list[bytes]
) -> None:
    shelf = Shelf(tmp_path / "shelf")
    with pytest.raises((TreeError, ValueError)):
        shelf.copy(tree, iter(wrong))
    assert list(shelf.root.iterdir()) == []


def test_copies_that_nobody_used_for_a_day_make_room(tree: Tree, tmp_path: Path) -> None:
    earlier = multiprocessing.get_context("fork").Process(
        target=lambda: Shelf(tmp_path / "shelf").copy(tree, contents(tree))
    )
    earlier.start()
    earlier.join()
    (copy,) = Shelf(tmp_path / "shelf").root.iterdir()
    old = time.time() - KEPT_S - 1
    os.utime(copy, (old, old))
    assert Shelf(tmp_path / "shelf").find(tree) is None


def test_what_another_engine_uses_stays(tree: Tree, tmp_path: Path) -> None:
    one, other = Shelf(tmp_path / "shelf"), Shelf(tmp_path / "shelf")
    place = one.copy(tree, contents(tree))
    assert other.copy(tree, iter(())) == place
    one.drop(tree.digest)
    assert one.find(tree) == place, "the other one uses it"
    one.drop(tree.digest)
    os.utime(place, (0, 0))
    Shelf(tmp_path / "shelf")
    assert sorted(path.name for path in place.rglob("*")) == ["deep", "empty", "large", "small"]
    other.drop(tree.digest)
    assert list(other.root.iterdir()) == []
    other.drop(tree.digest)


def test_two_engines_that_copy_at_the_same_time_share_one_copy(tree: Tree, tmp_path: Path) -> None:
    one, other = Shelf(tmp_path / "shelf"), Shelf(tmp_path / "shelf")

    def slow() -> Any:
        for number, content in enumerate(contents(tree)):
            if number == 1:
                assert other.copy(tree, contents(tree)).is_dir()
            yield content

    place = one.copy(tree, slow())
    assert list(one.root.iterdir()) == [place]
    other.drop(tree.digest)
    assert place.is_dir(), "both have it locked"
    one.drop(tree.digest)
    assert not place.exists()


def test_folders_behind_links_are_copied(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "picture").write_bytes(b"picture")
    (tree.directory / "images").symlink_to(tmp_path / "elsewhere")
    linked = files_tree("suite", tree.directory)
    copy = Shelf(tmp_path / "shelf").copy(linked, contents(linked))
    assert (copy / "images" / "picture").read_bytes() == b"picture"


@pytest.mark.parametrize("harm", ["cut", "removed"])
def test_a_copy_that_was_damaged_is_made_anew(harm: str, tree: Tree, tmp_path: Path) -> None:
    """Temporary files are cleaned up file by file, after an engine has ended."""
    earlier = Shelf(tmp_path / "shelf")
    place = earlier.copy(tree, contents(tree))
    if harm == "cut":
        os.truncate(place / "large", 1)
    else:
        (place / "deep" / "small").unlink()
    later = Shelf(tmp_path / "shelf")
    assert later.find(tree) is None
    threading.Timer(0.2, earlier.drop, [tree.digest]).start()  # until then it is in use
    assert later.copy(tree, contents(tree)) == place
    assert (place / "large").stat().st_size == PIECE_BYTES + 3
    assert list(later.root.iterdir()) == [place]


def test_a_shelf_is_never_somewhere_else(tmp_path: Path) -> None:
    """Anybody may put a link among the temporary files; what it leads to is not ours to clear."""
    mine = tmp_path / "mine" / "thesis"
    mine.mkdir(parents=True)
    os.utime(mine, (0, 0))
    (tmp_path / "shelf").symlink_to(tmp_path / "mine")
    with pytest.raises(PermissionError, match="not a directory of this user"):
        Shelf(tmp_path / "shelf")
    assert mine.is_dir()


def test_only_the_files_of_a_tree_are_given_away(tree: Tree) -> None:
    for name in (".hidden", "../secret"):
        with pytest.raises(PermissionError):
            read_piece(tree, (name, 0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: shutil.rmtree(place), "no such directory"),
        (lambda place: (place / "deep" / "small").unlink(), "No such file"),
        (lambda place: (place / "deep" / "small").write_bytes(b"y"), "other content"),
    ],
)
def test_a_machine_says_what_it_can_not_see(tree: Tree, change: Any, words: str) -> None:
    assert look(tree, 0.0) is None
    change(tree.directory)
    reason = look(tree, 0.0)
    assert reason is not None and words in reason and str(tree.directory) in reason


def test_a_suite_that_was_changed_is_another(tmp_path: Path) -> None:
    suite = tiny.make_suite(tmp_path / "suite")
    tree = Tree("suite", "suite", suite.directory, files_of(suite.directory), suite.digest)
    assert look(tree, 0.0) is None
    copy = Shelf(tmp_path / "shelf").copy(tree, contents(tree))
    picture = next((copy / "images").iterdir())
    picture.write_bytes(b"broken")
    assert "image" in (look(replace(tree, directory=copy), 0.0) or "")
