"""The dashboard's content as a plain table, for a pipe, a log or a screen reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from ctv_engine.store.rows import MACRO, MODES
from ctv_engine.store.scopes import parts
from ctv_tui.data import words
from ctv_tui.data.safe_text import cells, pad, safe, shorten
from ctv_tui.data.snapshot import FEW, Correlation, LatencyReport, Snapshot

WIDTH = 120
_STEP_WIDTH = 8
_VALUE_WIDTH = 8
_EVENTS_SHOWN = 20
_SCOPE_WIDTH, _MOST_SCOPE_WIDTH = 28, 48


def plain_text(snapshot: Snapshot, *, now: float | None = None) -> str:
    """Return the whole state of a run as text, at most about 120 columns wide.

    ``now`` (epoch seconds) is what the heartbeat's age is measured against; by default the time at
    which the snapshot was read.
    """
    now = snapshot.read_at if now is None else now
    blocks = (
        _head(snapshot, now),
        _scores(snapshot),
        _correlations(snapshot),
        _latency(snapshot),
        _warnings(snapshot),
        (f"database: {safe(snapshot.source.path)}",),
    )
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)


def _head(snapshot: Snapshot, now: float) -> list[str]:
    run, engine = snapshot.run, snapshot.engine
    if run is None:
        lines = ["no run in this database yet"]
    else:
        lines = [f"run          {safe(run.name)}", f"checkpoints  {safe(run.checkpoint_dir)}"]
    view = words.engine_view(snapshot, now)
    text = view.phrase
    if engine is not None:
        if view.word not in ("dead", "stopped"):
            text += f", heartbeat {words.duration(round(view.age_s or 0.0))} ago"
        text += f" (ctv-tui {safe(engine.version)}, pid {engine.pid} on {safe(engine.host)})"
    lines.append(f"engine       {text}")
    trouble = words.source_phrase(snapshot.source, now)
    if trouble:
        lines.append(f"database     {trouble}")
    if snapshot.checkpoints:
        states = Counter(c.state for c in snapshot.checkpoints)
        counted = ", ".join(f"{count} {state}" for state, count in states.items())
        lines.append(f"found        {len(snapshot.checkpoints)}: {counted}; lag {snapshot.lag}")
    for evaluation in snapshot.running:
        total = evaluation.done + evaluation.failed
        failed = f", {evaluation.failed} failed" if evaluation.failed else ""
        lines.append(
            f"scoring      checkpoint-{evaluation.step} {evaluation.mode}:"
            f" {total} of {evaluation.planned} items{failed}"
        )
    return lines


def _scores(snapshot: Snapshot) -> list[str]:
    names = list(dict.fromkeys(t.dataset for t in snapshot.trajectories))
    if not names:
        return ["no scores yet"]
    values = {
        (t.dataset, t.mode, point.step): words.score(point)
        for t in snapshot.trajectories
        for point in t.points
    }
    steps = sorted({step for _, _, step in values})
    group_width = len(MODES) * _VALUE_WIDTH
    groups = max(1, (WIDTH - _STEP_WIDTH) // (group_width + 2))
    lines = ["scores (closed: accuracy; open and gold: the dataset's metric; ~ not complete yet)"]
    for names_here in _chunks(names, groups):
        shown = [_centred("macro mean" if n == MACRO else safe(n), group_width) for n in names_here]
        heads = "".join(pad(mode, _VALUE_WIDTH, right=True) for mode in MODES)
        lines += [
            "",
            " " * _STEP_WIDTH + "".join(f"  {name}" for name in shown),
            pad("step", _STEP_WIDTH, right=True) + "".join(f"  {heads}" for _ in names_here),
        ]
        for step in steps:
            row = pad(str(step), _STEP_WIDTH, right=True)
            for name in names_here:
                row += "  " + "".join(
                    pad(values.get((name, mode, step), "–"), _VALUE_WIDTH, right=True)
                    for mode in MODES
                )
            lines.append(row)
    return lines


def _correlations(snapshot: Snapshot) -> list[str]:
    if not snapshot.whole:
        return ["correlation with gold: not known yet"]
    latest = {c.proxy: c for c in snapshot.rolling}
    names = {c.scope: f"{scope_name(c.scope)}, whole run" for c in snapshot.whole}
    width = min(_MOST_SCOPE_WIDTH, max(_SCOPE_WIDTH, *map(cells, names.values())))
    lines = [
        "correlation with gold (Pearson's r, 95 % interval, n checkpoints)",
        f"{pad('scope', width)}  {'closed':<34}{'open':<34}".rstrip(),
    ]
    for scope, name in names.items():
        pair = [snapshot.correlation("closed", scope), snapshot.correlation("open", scope)]
        lines.append(_correlation_row(name, width, pair))
        if scope == MACRO and latest:
            window = max(c.window for c in latest.values())
            rolling = [latest.get("closed"), latest.get("open")]
            lines.append(_correlation_row(f"macro mean, last {window}", width, rolling))
    return lines


def _correlation_row(name: str, width: int, pair: Iterable[Correlation | None]) -> str:
    return f"{pad(name, width)}  " + "".join(f"{_correlation(c):<34}" for c in pair)


def _correlation(found: Correlation | None) -> str:
    if found is None:
        return "–"
    few = " (few)" if found.n < FEW else ""
    if found.r is None:
        return shorten(f"– {safe(found.reason or '')} n={found.n}", 32)
    return f"{words.signed(found.r)} {words.interval(found.low, found.high)} n={found.n}{few}"


def scope_name(scope: str) -> str:
    """Return a scope in words: ``macro mean``, ``pooled``, ``NAME``, ``team (imported), NAME``."""
    series, dataset = parts(scope)
    name = "macro mean" if dataset == MACRO else safe(dataset)
    return f"{safe(series)} (imported), {name}" if series else name


def _latency(snapshot: Snapshot) -> list[str]:
    report = snapshot.latency
    if report is None:
        return []
    parts = []
    for mode in ("closed", "open"):
        row = next((r for r in report.rows if r.mode == mode and r.dataset == MACRO), None)
        if row is not None:
            text = f"{mode} {words.small_seconds(row.total_s)}"
            if row.decode_s is not None:
                text += (
                    f" (prefill {words.small_seconds(row.prefill_s)},"
                    f" decode {words.small_seconds(row.decode_s)})"
                )
            parts.append(text)
    text = f"seconds per item at checkpoint-{report.step}: {', '.join(parts)}"
    return [text + saving_clause(report)]


def saving_clause(report: LatencyReport | None) -> str:
    """Return ``; closed is 87 % cheaper than open``, with both counts where they differ, or ``""``.

    They differ while open is under way, and where items of one mode failed.
    """
    saving = report.saving if report else None
    closed, opened = (report.row(mode) if report else None for mode in ("closed", "open"))
    if saving is None or closed is None or opened is None:
        return ""
    text = f"; closed is {saving_words(saving)} than open"
    if closed.n != opened.n:
        text += f" ({closed.n:,} and {opened.n:,} items)"
    return text


def saving_words(saving: float) -> str:
    """Return ``87 % cheaper`` or ``12 % dearer``."""
    return f"{abs(saving) * 100:.0f} % {'cheaper' if saving >= 0 else 'dearer'}"


def _warnings(snapshot: Snapshot) -> list[str]:
    loud = [event for event in snapshot.events if event.level != "info"]
    if not loud:
        return []
    lines = [f"warnings and errors (last {min(len(loud), _EVENTS_SHOWN)} of {len(loud)}, UTC)"]
    for event in loud[-_EVENTS_SHOWN:]:
        at = datetime.fromtimestamp(event.at, UTC).strftime("%m-%d %H:%M:%S")
        head = f"{at}  {event.level:<7}  "
        lines.append(head + shorten(safe(event.message), 4 * WIDTH))
    return lines


def _centred(text: str, width: int) -> str:
    text = shorten(text, width - 2)
    left = (width - cells(text)) // 2
    return pad("─" * (left - 1) + f" {text} " + "─" * (width - left - cells(text) - 1), width)


def _chunks(names: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), count):
        yield names[start : start + count]
