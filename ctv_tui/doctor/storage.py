"""The database's place: SQLite, file system, free space, and the file itself."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from ctv_tui.doctor import Finding

OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""
NETWORK = re.compile(
    r"nfs\d*|cifs|smb\w*|ncpfs|afs|9p|ceph|lustre|gpfs|beegfs\w*|panfs|pvfs2|orangefs|wekafs|glusterfs"
    r"|fuse\.(?!fuseblk|ext|gvfsd|portal|snapfuse).*"
)
WAL_NEEDS = (
    "engine and dashboard share a piece of memory beside the file and locks on it, which such file"
    " systems do not keep between machines and often not well on one"
)
LITTLE_BYTES, NO_BYTES = 10e9, 1e9
CACHE_BYTES = 20e9

TypeOf = Callable[[Path], str | None]


def findings(db: Path, type_of: TypeOf | None = None) -> list[Finding]:
    """Look at SQLite, and at the directory and the file of a database that may not exist yet."""
    parent = db.resolve().parent
    found = [_sqlite(sqlite3.sqlite_version, _options())]
    if not parent.is_dir():
        text = f"{parent}: no such directory"
        return [*found, Finding("database", "fail", text, "make it, or choose another --db")]
    found.append(_file_system(parent, (type_of or file_system)(parent)))
    found.append(_writable(parent))
    found += _database(db)
    found.append(_space("space", parent, "the database, and pins of checkpoints", NO_BYTES))
    cache = _cache_directory()
    found.append(_space("cache", cache, "pictures that are resized already", 0.0))
    return found


def _options() -> list[str]:
    connection = sqlite3.connect(":memory:")
    try:
        return [row[0] for row in connection.execute("PRAGMA compile_options")]
    finally:
        connection.close()


def _sqlite(version: str, options: list[str]) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:3])
    if numbers < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        way_out = f"use a Python whose SQLite is {oldest} or newer (conda, uv, python.org)"
        return Finding("sqlite", "fail", f"{version} is too old", way_out)
    lacks = [name for name in ("OMIT_WAL", "OMIT_JSON", "THREADSAFE=0") if name in options]
    if lacks:
        text = f"{version}, built with {', '.join(lacks)}"
        return Finding("sqlite", "fail", text, "use a Python with an ordinary SQLite")
    threads = next((o for o in options if o.startswith("THREADSAFE=")), "THREADSAFE unknown")
    return Finding("sqlite", "ok", f"{version} ({threads}, WAL, STRICT tables)")


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the type of the file system of ``path``, or None where the system does not tell it."""
    best, kind = "", None
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        place = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), before.split()[4])
        inside = place == "/" or path == Path(place) or Path(place) in path.parents
        if inside and len(place) >= len(best):  # of two mounts on one place the later one shows
            best, kind = place, after.split()[0]
    return kind


def _file_system(parent: Path, kind: str | None) -> Finding:
    if kind is None:
        return Finding("file system", "ok", f"{parent}: of an unknown type")
    if NETWORK.fullmatch(kind):
        text = f"{parent} is on {kind}, a network file system: {WAL_NEEDS}"
        way_out = "put --db on a local disk, and look at it on the machine of the engine (ssh)"
        return Finding("file system", "warn", text, way_out)
    if kind in ("tmpfs", "ramfs"):
        text = f"{parent} is on {kind}, in memory: it is gone after a reboot"
        return Finding("file system", "warn", text, "put --db on a disk")
    return Finding("file system", "ok", f"{parent} is on {kind}")


def _writable(parent: Path) -> Finding:
    """Do once what the engine does: a database in WAL mode, and a lock."""
    try:
        with tempfile.TemporaryDirectory(prefix=".ctv-tui-doctor-", dir=parent) as home:
            with (Path(home) / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            connection = sqlite3.connect(Path(home) / "probe.db")
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                connection.execute("CREATE TABLE probe (x INTEGER) STRICT")
                connection.commit()
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        way_out = "choose a --db in a directory that you may write to, on a local disk"
        return Finding("directory", "fail", f"{parent}: {error}", way_out)
    if mode != "wal":
        text = f"{parent}: write-ahead log refused (journal mode {mode})"
        return Finding("directory", "fail", text, "put --db on a local disk")
    return Finding("directory", "ok", "a write-ahead log and a lock were tried out")


def _database(db: Path) -> list[Finding]:
    from ctv_engine.store.lock import running_engine
    from ctv_engine.store.reader import StoreError, open_read_only

    if not db.exists():
        return [Finding("database", "ok", f"{db} does not exist yet")]
    try:
        connection = open_read_only(db)
    except StoreError as error:
        return [Finding("database", "fail", str(error), "choose another --db, or upgrade ctv-tui")]
    try:
        run = connection.execute(
            "SELECT checkpoint_dir FROM runs ORDER BY started_at DESC LIMIT 1"
        ).fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        text = f"{db}: {error}"
        return [Finding("database", "fail", text, "check it: sqlite3 FILE 'PRAGMA quick_check'")]
    finally:
        connection.close()
    holder = running_engine(db)
    engine = f"engine pid {holder.pid} on {holder.host}" if holder else "no engine is running"
    text = f"{db}: schema {version}, {db.stat().st_size / 1e6:.1f} MB, {engine}"
    return [Finding("database", "ok", text), *(_pins(db, Path(run[0])) if run else [])]


def _pins(db: Path, checkpoints: Path) -> list[Finding]:
    """Tell whether checkpoints can be kept as links, which take no space of their own."""
    try:
        apart = checkpoints.stat().st_dev != db.resolve().parent.stat().st_dev
    except OSError:
        return []
    if not apart:
        return [Finding("pins", "ok", "links: on the file system of the checkpoints")]
    text = f"{checkpoints} is on another file system: each checkpoint is copied to be kept"
    way_out = "put --db on the file system of the checkpoints, or keep room for some of them"
    return [Finding("pins", "warn", text, way_out)]


def _space(check: str, directory: Path, use: str, least: float) -> Finding:
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free in {place} for {use}"
    if free < least:
        return Finding(check, "fail", text, "free some, or choose another place")
    enough = CACHE_BYTES if check == "cache" else LITTLE_BYTES
    if free < enough:
        option = "--cache-gb or --cache-dir" if check == "cache" else "--db on a larger disk"
        return Finding(check, "warn", text, f"free some, or use {option}")
    return Finding(check, "ok", text)


def _cache_directory() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CTV_TUI_CACHE_DIR") or Path(home) / "ctv-tui" / "inputs")
