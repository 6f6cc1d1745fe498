"""``ctv-tui simulate``: how would the work go on other numbers of GPUs?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ctv_tui.cli import EXIT_NO_DATABASE
from ctv_tui.cli.options import option
from ctv_tui.cli.simulated_nodes import (
    SHOWN_NODES,
    about_nodes,
    check_nodes,
    node_options,
    rows_of_nodes,
)

if TYPE_CHECKING:
    from ctv_engine.runtime.simulate import Replay, Workload
    from ctv_engine.runtime.waiting import Schedule
    from ctv_engine.store.recorded import RecordedEvaluation

MAX_GPUS = 4096
LANE_WIDTH = 60
MAX_LANES = 64
MODES: tuple[Literal["closed", "open"], ...] = ("closed", "open")


@dataclass(frozen=True, slots=True)
class _Costs:
    """Where the costs come from, in words, and the work under each schedule."""

    source: str
    notes: tuple[str, ...]
    workloads: dict[Schedule, list[Workload]]


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Read ``16,64,1024``."""
    numbers: list[int] = []
    for part in value.split(","):
        try:
            number = int(part)
        except ValueError:
            number = 0
        if not 1 <= number <= MAX_GPUS:
            raise click.BadParameter(
                f"{part.strip()!r} is not a number of GPUs from 1 to {MAX_GPUS}; example: 16,64"
            )
        numbers.append(number)
    return tuple(dict.fromkeys(numbers))


@click.command("simulate")
@option(
    "--db",
    env="DB",
    type=click.Path(dir_okay=False),
    help="Replay the costs recorded in this database.  [default: run.db]",
)
@option(
    "--cost-model",
    env="COST_MODEL",
    type=click.Choice(["a100-7b", "a100-7b-batch1"]),
    help="Replay a stated cost model instead; batch1 answers one item at a time.",
)
@option(
    "--gpus",
    env="GPUS",
    default="16",
    show_default=True,
    callback=_numbers,
    help="Numbers of GPUs, separated by commas.",
)
@option(
    "--schedule",
    env="SCHEDULE",
    type=click.Choice(["queue", "static"]),
    help="queue, or static: strided shards with a barrier per dataset.  [default: both]",
)
@node_options
@option("--timeline", env="TIMELINE", is_flag=True, help="Show what every GPU does when.")
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    cost_model: Literal["a100-7b", "a100-7b-batch1"] | None,
    gpus: tuple[int, ...],
    schedule: Schedule | None,
    nodes: int,
    load_gb_s: float | None,
    weights_gb: float,
    slow_node: tuple[tuple[int, float], ...],
    lose_node: tuple[int, float] | None,
    timeline: bool,
    as_json: bool,
) -> None:
    """Replay an evaluation's costs on other numbers of GPUs, with the engine's own scheduler.

    The clock is virtual. Prints makespan, ideal (the work shared out evenly), the idle fraction and
    the tail (from the first GPU without work to the end), for the closed and the open task; on
    several nodes, also how busy and idle each of them was.
    """
    from ctv_engine.runtime.simulate import replay
    from ctv_engine.runtime.simulated_nodes import Nodes

    given = ctx.get_parameter_source("db")
    if cost_model and db and given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("give --db or --cost-model, not both")
    read_s = weights_gb / load_gb_s if load_gb_s else 0.0
    cluster = Nodes(nodes, read_s, dict(slow_node), lose_node)
    check_nodes(cluster, gpus)
    schedules: tuple[Schedule, ...] = (schedule,) if schedule else ("queue", "static")
    costs = _stated(cost_model, schedules) if cost_model else _recorded(db or "run.db", schedules)
    notes = (*costs.notes, *about_nodes(cluster, weights_gb, load_gb_s))
    costs = replace(costs, notes=notes)
    replays = [
        replay(workload, number, way, nodes=cluster)
        for number in gpus
        for way in schedules
        for workload in costs.workloads[way]
    ]
    if as_json:
        click.echo(_document(costs, replays, timeline))
    else:
        _print_table(costs, replays)
        if nodes > 1:
            click.echo()
            _print_rows(*rows_of_nodes(replays))
            if nodes > SHOWN_NODES:
                click.echo(f"… and {nodes - SHOWN_NODES} more nodes each; --json has them all")
        if timeline:
            for one in replays:
                _print_lanes(one, max(r.makespan_s for r in replays if r.gpus == one.gpus))


# --- where costs come from ----------------------------------------------------------------------


def _stated(model: Literal["a100-7b", "a100-7b-batch1"], schedules: tuple[Schedule, ...]) -> _Costs:
    from ctv_engine.runtime.stated_costs import assumptions, stated_workload

    return _Costs(
        f"stated cost model {model}, not measured",
        assumptions(model),
        {way: [stated_workload(mode, way, model) for mode in MODES] for way in schedules},
    )


def _recorded(db: str, schedules: tuple[Schedule, ...]) -> _Costs:
    from ctv_engine.store.reader import open_read_only
    from ctv_engine.store.recorded import finished_evaluations
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import CommandError

    path = Path(db)
    check(path)
    connection = open_read_only(path)
    found = [finished_evaluations(connection, mode, limit=2) for mode in MODES]
    connection.close()
    workloads: list[Workload] = []
    notes: list[str] = []
    for evaluations in found:
        if evaluations and evaluations[0].items:
            workloads.append(_workload(*evaluations))
            notes.append(_described(*evaluations))
    if not workloads:
        raise CommandError(
            f"{db}: no finished evaluation with recorded times; let `ctv-tui watch` finish one, or"
            " use --cost-model a100-7b",
            EXIT_NO_DATABASE,
        )
    notes.append("prefill and decode of every item; reading inputs is left out")
    return _Costs(
        f"recorded in {path.resolve()}", tuple(notes), dict.fromkeys(schedules, workloads)
    )


def _workload(last: RecordedEvaluation, before: RecordedEvaluation | None = None) -> Workload:
    from ctv_engine.runtime.simulate import Workload, stand_in

    batches: dict[int, list[int]] = {}
    for index, item in enumerate(last.items):
        batches.setdefault(item.batch_id, []).append(index)
    cap = max(item.output_tokens or 0 for item in last.items)
    return Workload(
        mode=last.mode,
        task="closed" if last.mode == "closed" else "open",
        batches=tuple(
            stand_in(
                batch_id,
                [(last.items[i].dataset, last.items[i].key) for i in indices],
                [last.items[i].prompt_tokens or 1 for i in indices],
                cap,
            )
            for batch_id, indices in batches.items()
        ),
        seconds={(item.dataset, item.key): item.seconds for item in last.items},
        earlier={(item.dataset, item.key): item.seconds for item in before.items} if before else {},
    )


def _described(last: RecordedEvaluation, before: RecordedEvaluation | None = None) -> str:
    guess = f"ordered by the times of step {before.step}" if before else "ordered by prompt tokens"
    untimed = f", {last.untimed} items without times left out" if last.untimed else ""
    return f"{last.mode}: step {last.step}, {len(last.items):,} items{untimed}, {guess}"


# --- output -------------------------------------------------------------------------------------


def _document(costs: _Costs, replays: list[Replay], timeline: bool) -> str:
    results = []
    for one in replays:
        row = asdict(one)
        lanes = row.pop("timeline")
        row["balance"] = one.makespan_s / one.ideal_s if one.ideal_s else None
        if timeline:
            row["timeline"] = [
                [{"began_s": a, "ended_s": b, "batch_id": batch} for a, b, batch in lane]
                for lane in lanes
            ]
        results.append(row)
    return json.dumps({"source": costs.source, "notes": costs.notes, "results": results})


def _print_table(costs: _Costs, replays: list[Replay]) -> None:
    from ctv_tui.data.safe_text import safe

    click.echo(f"costs: {safe(costs.source)}")
    for note in costs.notes:
        click.echo(f"  {safe(note)}")
    click.echo()
    head = ("GPUs", "schedule", "mode", "units", "makespan", "ideal", "ratio", "idle", "tail")
    rows = [
        (
            str(one.gpus),
            one.schedule,
            one.mode,
            str(one.units),
            f"{one.makespan_s:,.2f} s",
            f"{one.ideal_s:,.2f} s",
            f"{one.makespan_s / one.ideal_s:.3f}" if one.ideal_s else "-",
            f"{one.idle_fraction:.1%}",
            f"{one.tail_s:,.2f} s",
        )
        for one in replays
    ]
    _print_rows(head, *rows)


def _print_rows(*rows: tuple[str, ...]) -> None:
    """Print a table; its second and third columns hold words."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if 0 < i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())


def _print_lanes(one: Replay, axis_s: float) -> None:
    """Draw one line per GPU: a full block is work, a light one waiting for the last GPU."""
    click.echo(f"\n{one.mode}, {one.schedule}, {one.gpus} GPUs: 0 to {axis_s:.1f} s")
    for number, lane in enumerate(one.timeline[:MAX_LANES]):
        busy = [0.0] * LANE_WIDTH
        cell_s = axis_s / LANE_WIDTH or 1.0
        for began, ended, _ in lane:
            last = min(int(ended / cell_s), LANE_WIDTH - 1)
            for cell in range(int(began / cell_s), last + 1):
                busy[cell] += min(ended, (cell + 1) * cell_s) - max(began, cell * cell_s)
        end = round(one.makespan_s / cell_s)
        cells = "".join(
            " " if cell >= max(end, 1) else "█" if busy[cell] >= cell_s / 2 else "░"
            for cell in range(LANE_WIDTH)
        )
        click.echo(f"{number:>4} {cells}".rstrip())
    if one.gpus > MAX_LANES:
        click.echo(f"     … and {one.gpus - MAX_LANES} more")
