"""A recorded run on a cluster: four machines with four GPUs each, unless more are asked for.

Of the first four machines the third left during the evaluation of ``checkpoint-200`` and the fourth
was set aside before it got a worker. Written through the engine's own writer.
"""

from __future__ import annotations

from pathlib import Path

from recorded_run import HOSTILE, Clock, clock_of_writer

from ctv_engine.store.rows import DatasetRow, ItemRow, SampleRow, SpanRow
from ctv_engine.store.writer import Writer

REASON = f"checkpoint-100: model.safetensors has another digest there{HOSTILE}"
LEFT_S, SILENT_S = 4.0, 3.2
BATCHES = 6


def record(path: Path, *, hosts: int = 4, devices: int = 4, gpu: bool = True) -> float:
    """Write the run; return the instant at which it ends.

    A worker of machine n needs 1 + n/10 s for a batch and every worker has six, so that those of
    the first work 6.0 s and wait for the slowest. Those that left had begun their third of 1.2 s.
    """
    clock = Clock()
    names = [f"node-{n + 1 if n < 3 else n + 7}" for n in range(hosts)]
    with clock_of_writer(clock):
        writer = Writer(path)
        writer.add_suite(
            "suite",
            [DatasetRow("ChartQA", "exact_match", 1)],
            [ItemRow("ChartQA", "0", "?", '["a", "b"]', 0, '["a"]', "i.png", "d")],
        )
        run = writer.open_run(
            name="on-a-cluster", checkpoint_dir="/runs/x", suite_digest="suite", gold_digest=None,
            config_json="{}", versions_json="{}", host=names[0],
        )  # fmt: skip
        workers = {}
        for n, host in enumerate(names):
            add_node(writer, run, n, host, clock.now)
            for number in range(devices if n != 3 else 0):
                name = f"cuda:{number}" if gpu else f"cpu:{number}"
                workers[n, number] = writer.add_worker(run, host, name)
                writer.set_worker(
                    workers[n, number], "ready", pid=1, gpu_uuid=uuid_of(n, number, gpu)
                )
    for step in (100, 200):
        clock.now += 20.0
        with clock_of_writer(clock):
            checkpoint = writer.add_checkpoint(run, step, f"/runs/x/checkpoint-{step}", clock.now)
            writer.set_checkpoint(checkpoint, "scoring", ready_at=clock.now)
            key = writer.add_evaluation(checkpoint, "closed", "queue", 1)
            writer.start_evaluation(key)
            start, spans = clock.now, []
            for (n, _), worker in workers.items():
                cost = 1.0 + n / 10
                for batch in range(BATCHES):
                    began, ended = start + batch * cost, start + (batch + 1) * cost
                    if n == 2 and step == 200 and ended > start + LEFT_S - SILENT_S / 2:
                        break
                    spans.append(SpanRow(worker, key, batch, "prefill", began, ended))
            writer.add_results([], spans)
        clock.now = max(span.ended_at for span in spans)
        with clock_of_writer(clock):
            if step == 200 and hosts > 2:
                lose(writer, names[2], [w for (n, _), w in workers.items() if n == 2], start)
            writer.finish_evaluation(key, "done")
            writer.set_checkpoint(checkpoint, "done", done_at=clock.now)
    samples = [
        SampleRow(
            clock.now - back, uuid_of(n, number, gpu), host, 90.0 - 10 * n - number,
            10**9 * (n + 1), 80 * 10**9, 300.0, 60.0, 1410.0, "", "ok" if gpu else "host",
        )
        for back in range(59, -1, -1)
        for n, host in enumerate(names)
        for number in range(devices)
        if gpu or n not in (2, 3)
    ]  # fmt: skip
    with clock_of_writer(clock):
        writer.add_samples([s for s in samples if s.host != names[2] or s.at < start + LEFT_S])
        writer.beat(run_id=run, pid=1, host=names[0], state="idle", version="0.1.0")
        writer.close()
    return clock.now


def uuid_of(n: int, number: int, gpu: bool) -> str:
    """Processes that stand in for a GPU are called alike on every machine."""
    return f"GPU-{n:02d}{number:02d}aaaa" if gpu else f"cpu-{number}"


def add_node(writer: Writer, run: int, n: int, host: str, now: float) -> None:
    """Add a machine; each clock is 1.5 ms ahead of the one before."""
    aside = n == 3
    writer.connection.execute(
        "INSERT INTO nodes (run_id, node_id, host, address, state, reason, slots, clock_offset_s,"
        " clock_error_s, joined_at) VALUES (?, ?, ?, ?, ?, ?, 4, ?, ?, ?)",
        (
            run, f"id-{n}", host, f"10.0.0.{n + 1}", "set aside" if aside else "joined",
            REASON if aside else None, None if aside else 0.0015 * n,
            None if aside else 0.0003, now,
        ),
    )  # fmt: skip


def lose(writer: Writer, host: str, workers: list[int], start: float) -> None:
    """The machine leaves with its workers."""
    left_at = start + LEFT_S
    writer.connection.execute(
        "UPDATE nodes SET state = 'left', reason = 'its daemon is dead', left_at = ?, silent_s = ?"
        " WHERE host = ?",
        (left_at, SILENT_S, host),
    )
    for worker in workers:
        writer.connection.execute(
            "UPDATE workers SET state = 'lost', ended_at = ? WHERE id = ?", (left_at, worker)
        )
