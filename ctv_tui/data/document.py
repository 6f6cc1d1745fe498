"""The dashboard's content as one JSON object: a contract for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ctv_engine.store.rows import MACRO
from ctv_tui.data import words
from ctv_tui.data.snapshot import Snapshot

FORMAT = 1
"""Raised when a key is removed or changes its meaning; new keys may come at any time."""

_EVENTS_KEPT = 50


def as_json(snapshot: Snapshot, *, now: float | None = None) -> dict[str, Any]:
    """Return a snapshot as plain dicts, lists, strings and numbers.

    Strings are as they are in the database: encode with ``json.dumps``'s default of ASCII only,
    which escapes every control character. Times are UTC epoch seconds, durations seconds, memory
    bytes, shares 0…1, ``null`` is "not known". The keys:

    - ``format``: 1; ``read_at``.
    - ``database``: ``path``, ``health`` (ok, waiting, gone, locked, newer, unreadable), ``detail``,
      ``archived``.
    - ``run``: ``name``, ``checkpoint_dir``, ``suite_digest``, ``gold_digest``, ``started_at``,
      ``finished_at``; or null.
    - ``engine``: ``state`` (starting, idle, scoring, paused, stopping, stopped, dead, absent),
      ``heartbeat_age_s``, ``pid``, ``host``, ``version``.
    - ``checkpoints``: ``step``, ``path``, ``state``, ``reason``, ``found_at``, ``ready_at``,
      ``done_at``; ``lag``: how many are ready but not done.
    - ``evaluations``: ``step``, ``mode``, ``state``, ``reason``, ``planned``, ``done``, ``failed``,
      ``started_at``, ``finished_at``, ``makespan_s``, ``ideal_s``, ``idle_fraction``.
    - ``scores``: ``step``, ``mode``, ``dataset`` (``macro`` is the mean), ``value``, ``stderr``,
      ``n``, ``complete``.
    - ``correlations``: ``whole`` (one per proxy and scope) and ``rolling`` (macro mean), each with
      ``proxy``, ``scope``, ``window``, ``step``, ``r``, ``low``, ``high``, ``n``, ``reason``.
    - ``evidence`` and ``ranking``: the engine's rows of these tables, the latter by the scores
      themselves (docs/schema.md has their columns).
    - ``latency``: ``step``, ``saving``, ``capped``, ``datasets`` (``dataset``, ``mode``, ``n``,
      ``prefill_s``, ``decode_s``, ``output_tokens``), ``lengths`` (``low``, ``high``, ``count``);
      or null.
    - ``devices``: ``gpu_uuid``, ``host``, ``workers``, ``at``, ``status``, ``reason``,
      ``utilisation`` (per cent), ``memory_used``, ``memory_total``, ``power_w``, ``temperature_c``,
      ``sm_clock_mhz``, ``throttle``, ``power_limit_w``, ``number``, ``model``,
      ``other_processes``, ``other_memory``, ``missing`` (field: unsupported, failed, unknown).
    - ``hosts``: the machines of workers and devices: ``name``, ``workers`` (that are up), and of
      one that is in a cluster ``address``, ``state`` (joined, set aside, left), ``reason``,
      ``slots``, ``clock_offset_s``, ``clock_error_s``, ``joined_at``, ``left_at``, ``silent_s``.
    - ``events``: the latest 50: ``at``, ``level``, ``kind``, ``message``, ``step``.
    """
    now = snapshot.read_at if now is None else now
    source, run, report = snapshot.source, snapshot.run, snapshot.latency
    return {
        "format": FORMAT,
        "read_at": snapshot.read_at,
        "database": {
            "path": source.path,
            "health": source.health,
            "detail": source.detail or None,
            "archived": source.archived,
        },
        "run": _without(asdict(run), "id") if run else None,
        "engine": _engine(snapshot, now),
        "lag": snapshot.lag,
        "checkpoints": [_without(asdict(c), "id") for c in snapshot.checkpoints],
        "evaluations": [
            _without(asdict(e), "id", "checkpoint_id", "schedule") for e in snapshot.evaluations
        ],
        "scores": [
            {"mode": t.mode, "dataset": t.dataset, **asdict(point)}
            for t in snapshot.trajectories
            for point in t.points
        ],
        "correlations": {
            "whole": [asdict(c) for c in snapshot.whole],
            "rolling": [{**asdict(c), "scope": MACRO} for c in snapshot.rolling],
        },
        "evidence": [asdict(row) for row in snapshot.evidence],
        "ranking": [asdict(row) for row in snapshot.ranking],
        "latency": report
        and {
            "step": report.step,
            "saving": report.saving,
            "capped": report.capped,
            "datasets": [asdict(row) for row in report.rows],
            "lengths": [asdict(bin) for bin in report.lengths],
        },
        "devices": [
            {
                **_without(asdict(d), "history", "worker_ids"),
                "workers": list(d.workers),
                "missing": dict(d.missing),
            }
            for d in snapshot.devices
        ],
        "hosts": [asdict(host) for host in snapshot.hosts],
        "events": [_without(asdict(e), "id") for e in snapshot.events[-_EVENTS_KEPT:]],
    }


def _engine(snapshot: Snapshot, now: float) -> dict[str, Any]:
    view, engine = words.engine_view(snapshot, now), snapshot.engine
    return {
        "state": view.word,
        "heartbeat_age_s": view.age_s,
        "pid": engine and engine.pid,
        "host": engine and engine.host,
        "version": engine and engine.version,
    }


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}
