"""The cache of decoded pictures: bit for bit, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ctv_engine.models.input_cache import InputCache

KEY = "ab" + 62 * "0"
GIGABYTE = 10**9


def cache_in(directory: Path, limit_bytes: int = GIGABYTE) -> InputCache:
    return InputCache(directory / "inputs", limit_bytes)


def key(number: int) -> str:
    return f"{number:064x}"


def normalised(rng: Any, *shape: int, dtype: Any = np.float32) -> np.ndarray:
    """Return pixels as an image processor leaves them: bytes, scaled and shifted by channel."""
    pixels = rng.integers(0, 256, shape, dtype=np.uint8).astype(np.float32) / 255
    mean = np.array([0.48, 0.45, 0.4], np.float32).reshape(3, 1, 1)
    return ((pixels - mean) / (mean / 2)).astype(dtype)


def same(found: Any, wanted: Any) -> bool:
    """Compare bit by bit: NaN equals itself, 0.0 is not -0.0."""
    if not isinstance(wanted, np.ndarray):
        return type(found) is type(wanted) and found == wanted
    return (
        isinstance(found, np.ndarray)
        and (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        and found.tobytes() == wanted.tobytes()
    )


RNG = np.random.default_rng(3)
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1.5], np.float64)
ENTRIES: dict[str, Any] = {
    "one picture": normalised(RNG, 1, 3, 32, 40),
    "tiles": normalised(RNG, 2, 5, 3, 24, 24),
    "tiles of no channel axis": normalised(RNG, 3, 30, 30).reshape(60, 45),
    "patches in rows": normalised(RNG, 4, 3, 28, 28).reshape(64, 147),
    "half precision": normalised(RNG, 1, 3, 32, 32, dtype=np.float16),
    "double precision": normalised(RNG, 1, 3, 32, 32).astype(np.float64),
    "more numbers than a palette has": RNG.random((300, 300), np.float32),
    "three channels of noise": RNG.random((3, 300, 300), np.float32),
    "zeros of both signs": np.tile(np.array([0.0, -0.0], np.float32), 3000).reshape(3, 50, 40),
    "NaN and infinity": np.tile(SPECIAL.astype(np.float32), 300),
    "not contiguous": normalised(RNG, 1, 3, 40, 40)[..., ::2],
    "Fortran order": np.asfortranarray(normalised(RNG, 1, 3, 32, 32)[0]),
    "small": np.array([[1.5, -0.0, np.nan]], np.float32),
    "empty": np.zeros((0, 3, 32, 32), np.float32),
    "one number": np.array(2.5, np.float32),
    "integers": RNG.integers(-5, 5, (4, 2000)),
    "bytes": RNG.integers(0, 256, (3, 64, 64), dtype=np.uint8),
    "truth": RNG.random((2, 3000)) < 0.5,
}


@pytest.mark.parametrize("name", ENTRIES)
def test_what_comes_out_is_bit_for_bit_what_went_in(tmp_path: Path, name: str) -> None:
    wanted = {"pixel_values": ENTRIES[name], "image_sizes": np.array([[32, 40]]), "n": [[3, "a"]]}
    cache_in(tmp_path).put(KEY, wanted)
    found = cache_in(tmp_path).get(KEY)  # as another engine finds it
    assert found is not None
    assert found.keys() == wanted.keys()
    for part in wanted:
        assert same(found[part], wanted[part]), part


@pytest.mark.parametrize("seed", range(20))
def test_random_entries(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 24, rng.integers(1, 5)))
    shape = (*shape[:-3], 3, *shape[-2:]) if len(shape) > 2 and seed % 2 else shape
    numbers = rng.random(int(rng.integers(1, 70000)))
    special = SPECIAL if seed % 3 == 0 else SPECIAL[:2]
    values = rng.choice(np.concatenate([special, numbers]), shape)
    wanted = values.astype(rng.choice([np.float16, np.float32, np.float64]))
    cache = cache_in(tmp_path)
    cache.put(KEY, {"pixel_values": wanted})
    found = cache.get(KEY)
    assert found is not None and same(found["pixel_values"], wanted)


@pytest.mark.parametrize(
    ("dtype", "share"), [(np.float32, 0.27), (np.float64, 0.14), (np.float16, 0.53)]
)
def test_pixels_take_little_more_than_a_byte_each(
    tmp_path: Path, dtype: type[np.generic], share: float
) -> None:
    pixels = normalised(RNG, 1, 3, 336, 336, dtype=dtype)
    cache = cache_in(tmp_path)
    cache.put(KEY, {"pixel_values": pixels})
    assert cache.path(KEY).stat().st_size <= share * pixels.nbytes


def test_what_was_never_stored_is_absent(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    assert cache.get(KEY) is None
    cache.put(KEY, {"pixel_values": np.ones(3)})
    assert cache.get(key(1)) is None
    assert cache.fault is None


# --- damage -------------------------------------------------------------------------------------


def test_no_damaged_byte_goes_unnoticed(tmp_path: Path) -> None:
    """Every byte of a small entry is spoiled in turn: header, plain values, palette, indices."""
    cache = cache_in(tmp_path)
    pixels = np.tile(np.arange(8, dtype=np.float32), (3, 16, 4)).reshape(1, 3, 16, 32)
    wanted = {"pixel_values": pixels, "image_sizes": np.array([[32, 16]]), "num_patches": [[5]]}
    cache.put(KEY, wanted)
    whole = cache.path(KEY).read_bytes()
    unnoticed = []
    for place in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        cache.path(KEY).write_bytes(spoiled)
        found = cache.get(KEY)
        if found is not None and not (
            found.keys() == wanted.keys() and all(same(found[n], wanted[n]) for n in wanted)
        ):
            unnoticed.append(place)
    assert unnoticed == []


def a_foreign_file(path: Path) -> None:
    save_file({"pixel_values": np.ones(5, np.float32)}, path)


def a_foreign_header(path: Path) -> None:
    save_file({"w": np.ones(5, np.float32)}, path, metadata={"crc": "?", "plain": "{}"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(os.urandom(1000)),
        a_foreign_file,
        a_foreign_header,
    ],
    ids=["cut", "cut in the header", "empty", "longer", "noise", "foreign", "foreign header"],
)
def test_a_damaged_entry_is_absent_and_can_be_written_again(tmp_path: Path, damage: Any) -> None:
    cache = cache_in(tmp_path)
    wanted = {"pixel_values": normalised(RNG, 1, 3, 32, 32)}
    cache.put(KEY, wanted)
    damage(cache.path(KEY))
    assert cache.get(KEY) is None
    assert cache.fault is None
    cache.put(KEY, wanted)
    found = cache.get(KEY)
    assert found is not None and same(found["pixel_values"], wanted["pixel_values"])


# --- size ---------------------------------------------------------------------------------------


def sizes(cache: InputCache) -> dict[str, int]:
    return {p.stem: p.stat().st_size for p in cache.directory.rglob("*") if p.is_file()}


def test_the_limit_is_kept_and_the_least_recently_used_go_first(tmp_path: Path) -> None:
    entry = {"pixel_values": RNG.random(1000)}
    cache = cache_in(tmp_path, 10 * 9000)  # an entry is a little more than 8,000 bytes
    for number in range(8):
        cache.put(key(number), entry)
        os.utime(cache.path(key(number)), (number, number))
    assert cache.get(key(0)) is not None  # used just now
    for number in range(8, 14):
        cache.put(key(number), entry)
        assert sum(sizes(cache).values()) <= cache.limit_bytes + 2 * 9000
    cache.evict()
    left = sizes(cache)
    assert sum(left.values()) <= cache.limit_bytes
    assert key(0) in left, "what was used is kept"
    assert {key(number) for number in range(10, 14)} <= left.keys(), "what is new is kept"
    assert not {key(1), key(2)} & left.keys(), "what was not used for long is gone"
    assert all(cache.get(name) is not None for name in left)


def test_what_a_killed_process_left_half_written_is_counted_and_goes(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, 50_000)
    cache.put(KEY, {"pixel_values": RNG.random(1000)})
    part = cache.path(KEY).with_suffix(".123.part")
    part.write_bytes(bytes(60_000))
    os.utime(part, (1, 1))
    cache.evict()
    assert sizes(cache).keys() == {KEY}


def test_an_entry_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, 1000)
    cache.put(KEY, {"pixel_values": RNG.random(1000)})
    assert sum(sizes(cache).values()) <= cache.limit_bytes
    assert cache.get(KEY) is None


# --- a place that can't be written to -----------------------------------------------------------


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.directory.write_text("in the way")
    told = []
    for number in range(3):
        assert cache.get(key(number << 248)) is None  # a directory of its own each
        cache.put(key(number << 248), {"pixel_values": np.ones(3)})
        if cache.fault:
            told.append(cache.fault)
            cache.fault = None  # as a worker does that has reported it
    assert len(told) == 1, "said once, not with every picture"
    assert f"the input cache {cache.directory} can't be written" in told[0]


def test_a_full_disk_costs_the_cache_not_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_in(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ctv_engine.models.input_cache.save_file", refuse)
    cache.put(KEY, {"pixel_values": np.ones(3)})
    assert cache.fault is not None and "No space left on device" in cache.fault
    assert cache.get(KEY) is None
    assert sizes(cache) == {}


# --- several processes --------------------------------------------------------------------------

CLIENT = """
import sys
from pathlib import Path
import numpy as np
from ctv_engine.models.input_cache import InputCache
cache = InputCache(Path(sys.argv[1]), int(sys.argv[2]))
rng = np.random.default_rng(int(sys.argv[3]))
hits = 0
for turn in range(300):
    number = int(rng.integers(0, 12))
    pixels = np.random.default_rng(number).integers(0, 256, (3, 24, 24)).astype(np.float32)
    found = cache.get(f"{number:064x}")
    if found is None:
        cache.put(f"{number:064x}", {"pixel_values": pixels, "number": number})
    else:
        hits += 1
        assert found["number"] == number
        assert found["pixel_values"].tobytes() == pixels.tobytes()
    if turn % 25 == 0:
        cache.evict()
assert cache.fault is None, cache.fault
print(hits)
"""


@pytest.mark.parametrize("limit", [GIGABYTE, 20_000], ids=["room for all", "room for a few"])
def test_two_processes_read_write_and_evict_at_once(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", CLIENT, str(tmp_path / "inputs"), str(limit)]
    clients = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for seed in range(2)
    ]
    for client in clients:
        out, err = client.communicate(timeout=120)
        assert client.returncode == 0, err.decode()
        assert int(out) > (250 if limit == GIGABYTE else 0)
    cache = InputCache(tmp_path / "inputs", limit)
    cache.evict()
    assert sum(sizes(cache).values()) <= limit
    assert not [name for name in sizes(cache) if "part" in name]
