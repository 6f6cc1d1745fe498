"""A pinned checkpoint outlives what the training run does to its own."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from ctv_engine.checkpoints import pin as module
from ctv_engine.checkpoints.completeness import inspect
from ctv_engine.checkpoints.pin import digest, pin, still_holds, unpin


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny.bare_checkpoint(tmp_path / "run" / "checkpoint-10", 10)


def files_of(source: Path) -> tuple[str, ...]:
    return inspect(source, 10).files


def contents(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()}


def test_a_pin_is_made_of_hard_links(source: Path, tmp_path: Path) -> None:
    files = files_of(source)
    made = pin(source, files, tmp_path / "pins" / "a")
    assert made.directory == tmp_path / "pins" / "a"
    assert not made.copied
    assert made.bytes == sum((source / name).stat().st_size for name in files)
    assert sorted(contents(made.directory)) == sorted(files)
    assert all((source / name).samefile(made.directory / name) for name in files)


def test_a_rotated_checkpoint_stays_whole_in_its_pin(source: Path, tmp_path: Path) -> None:
    files = files_of(source)
    before = {name: (source / name).read_bytes() for name in files}
    made = pin(source, files, tmp_path / "pin")
    shutil.rmtree(source)
    assert contents(made.directory) == before
    assert digest(made.directory, files) == made.digest
    assert inspect(made.directory, 10).verdict == "whole"


def test_shards_in_a_folder_are_pinned_in_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "weights").mkdir(parents=True)
    (source / "weights" / "a.safetensors").write_bytes(b"a")
    made = pin(source, ["weights/a.safetensors"], tmp_path / "pin")
    assert (made.directory / "weights" / "a.safetensors").read_bytes() == b"a"


def test_a_file_that_is_a_link_is_pinned_with_its_content(source: Path, tmp_path: Path) -> None:
    # a snapshot of the Hugging Face cache: model.safetensors -> ../../blobs/…
    blob = tmp_path / "run" / "blob"
    (source / "model.safetensors").rename(blob)
    (source / "model.safetensors").symlink_to("../blob")
    files = files_of(source)
    wanted = digest(source, files)
    made = pin(source, files, tmp_path / "deeper" / "pins" / "a")
    shutil.rmtree(tmp_path / "run")
    assert (made.directory / "model.safetensors").read_bytes() == tiny.safetensors_bytes()
    assert digest(made.directory, files) == made.digest == wanted


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP])
def test_where_links_are_refused_files_are_copied(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    files = files_of(source)
    linked = pin(source, files, tmp_path / "linked")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    copied = pin(source, files, tmp_path / "copied")
    assert copied.copied
    assert (copied.digest, copied.bytes) == (linked.digest, linked.bytes)
    assert not any((source / name).samefile(copied.directory / name) for name in files)


def test_a_file_deleted_meanwhile_leaves_no_half_pin(source: Path, tmp_path: Path) -> None:
    files = files_of(source)
    (source / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        pin(source, files, tmp_path / "pins" / "a")
    assert "model.safetensors" in str(caught.value.filename)
    assert list((tmp_path / "pins").iterdir()) == []


def test_a_full_disk_leaves_no_half_pin(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="No space left"):
        pin(source, files_of(source), tmp_path / "pins" / "a")
    assert list((tmp_path / "pins").iterdir()) == []


def test_a_left_over_of_an_earlier_try_is_replaced(source: Path, tmp_path: Path) -> None:
    for name in ("a", "a.partial"):
        (tmp_path / "pins" / name).mkdir(parents=True)
        (tmp_path / "pins" / name / "old.json").write_text("old")
    made = pin(source, files_of(source), tmp_path / "pins" / "a")
    assert not (made.directory / "old.json").exists()
    assert [path.name for path in (tmp_path / "pins").iterdir()] == ["a"]


def test_unpinning_leaves_the_runs_own_files(source: Path, tmp_path: Path) -> None:
    before = contents(source)
    made = pin(source, files_of(source), tmp_path / "pin")
    unpin(made.directory)
    unpin(made.directory)
    assert not made.directory.exists()
    assert contents(source) == before


# --- digest -------------------------------------------------------------------------------------


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def of(**files: bytes) -> str:
        directory = tmp_path / "d"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for name, content in files.items():
            (directory / name).write_bytes(content)
        return digest(directory, list(files))

    start = of(a=b"1", b=b"22")
    assert start == of(b=b"22", a=b"1")
    others = [of(a=b"2", b=b"22"), of(a=b"12", b=b"2"), of(a=b"1", c=b"22"), of(a=b"1")]
    assert start not in others
    assert len(set(others)) == len(others)


def test_a_large_file_is_sampled_from_its_first_to_its_last_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_FILE_BYTES", 1000)
    monkeypatch.setattr(module, "BLOCK_BYTES", 10)
    size = 64 * 100
    path = tmp_path / "w"

    def with_a_change_at(position: int | None) -> str:
        content = bytearray(size)
        if position is not None:
            content[position] = 1
        path.write_bytes(content)
        return digest(tmp_path, ["w"])

    start = with_a_change_at(None)
    middle = 31 * (size - 10) // 63  # where the 32nd of 64 blocks begins
    for position in (0, 9, middle, size - 10, size - 1):
        assert with_a_change_at(position) != start
    path.write_bytes(bytes(size + 1))
    assert digest(tmp_path, ["w"]) != start


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda source: None, True),
        (lambda source: (source / "model.safetensors").unlink(), True),
        (lambda source: (source / "model.safetensors").write_bytes(b"other"), False),
        (lambda source: (source / "optimizer.pt").write_bytes(b"other"), True),
    ],
    ids=["nothing", "deleted", "rewritten in place", "what was not pinned"],
)
def test_a_pin_that_is_rewritten_through_its_links_is_noticed(
    source: Path, tmp_path: Path, change: Callable[[Path], object], holds: bool
) -> None:
    pinned = pin(source, ("config.json", "model.safetensors"), tmp_path / "pins" / "a")
    change(source)
    assert still_holds(pinned.directory, pinned.digest) is holds


def test_a_pin_that_is_gone_says_nothing_against_what_was_read(tmp_path: Path) -> None:
    assert still_holds(tmp_path / "nowhere", "digest")
