"""The machines of ``ctv-tui simulate``: options, what they mean in words, and how each did."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctv_tui.cli.options import option

if TYPE_CHECKING:
    from ctv_engine.runtime.simulate import Replay
    from ctv_engine.runtime.simulated_nodes import Nodes

F = TypeVar("F", bound=Callable[..., Any])
MAX_NODES = 4096
SHOWN_NODES = 32
"""So many are printed of each replay; the JSON has all."""
WEIGHTS_GB = 16.6
"""7 B parameters with their vision tower in bfloat16, as in the stated cost models."""


class _OfNode(click.ParamType):  # type: ignore[type-arg]
    """``K:VALUE``: a node's number from 1 and something about it."""

    def __init__(self, name: str, least: float, meaning: str) -> None:
        self.name, self._least, self._meaning = name, least, meaning

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, float]:
        """Read the two numbers."""
        node, _, number = str(value).partition(":")
        try:
            found = int(node), float(number)
        except ValueError:
            found = 0, -1.0
        if found[0] < 1 or not self._least <= found[1] < math.inf:
            self.fail(
                f"{value!r} is not {self.name}: a node from 1 and {self._meaning}", param, ctx
            )
        return found


def _positive(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is not a number above 0")
    return value


_NODE_OPTIONS = (
    option(
        "--nodes",
        env="NODES",
        default=1,
        show_default=True,
        type=click.IntRange(1, MAX_NODES),
        help="Machines that the GPUs are spread over.",
    ),
    option(
        "--load-gb-s",
        env="LOAD_GB_S",
        type=float,
        callback=_positive,
        help="Each node first reads the weights, once for all of its GPUs, so many GB a second."
        "  [default: weights are there]",
    ),
    option(
        "--weights-gb",
        env="WEIGHTS_GB",
        default=WEIGHTS_GB,
        show_default=True,
        type=float,
        callback=_positive,
        help="How large the weights are.",
    ),
    option(
        "--slow-node",
        env="SLOW_NODE",
        multiple=True,
        type=_OfNode("K:FACTOR", 1.0, "a factor of 1 or more; example: 2:1.5"),
        metavar="K:FACTOR",
        help="On node K everything takes FACTOR times as long; may be given again.",
    ),
    option(
        "--lose-node",
        env="LOSE_NODE",
        type=_OfNode("K:SECONDS", 0.0, "seconds from the beginning; example: 2:30"),
        metavar="K:SECONDS",
        help="Node K is lost after so many seconds, noticed at once; its work goes to others.",
    ),
)


def node_options(function: F) -> F:
    """Add the options about machines."""
    for one in reversed(_NODE_OPTIONS):
        function = one(function)
    return function


def check_nodes(cluster: Nodes, gpus: tuple[int, ...]) -> None:
    """Refuse what can't be: one message, before anything is read."""
    for number in gpus:
        try:
            cluster.of(number)
        except ValueError as error:
            raise click.UsageError(f"{error}; see --nodes") from None
    if cluster.lost and cluster.count < 2:
        raise click.UsageError("--lose-node wants two nodes at least; see --nodes")


def about_nodes(cluster: Nodes, weights_gb: float, load_gb_s: float | None) -> list[str]:
    """Return what is assumed about the nodes, in words."""
    notes = []
    if cluster.count > 1:
        notes.append(f"GPUs spread over {cluster.count} nodes; nothing is waited for between them")
    if load_gb_s is None:
        notes.append("weights are there: loading them is left out")
    else:
        notes.append(
            f"each node reads {weights_gb:g} GB of weights once at {load_gb_s:g} GB/s:"
            f" {cluster.read_s:.2f} s before its GPUs begin, whatever the others read"
        )
    notes += [f"node {n}: everything takes {f:g} times as long" for n, f in cluster.slow.items()]
    if cluster.lost:
        node, at_s = cluster.lost
        notes.append(f"node {node} is lost after {at_s:g} s; what it had begun is begun anew")
    return notes


def rows_of_nodes(replays: Sequence[Replay]) -> list[tuple[str, ...]]:
    """Return a table of what each node did in each replay; its first row is the head."""
    head = ("GPUs", "schedule", "mode", "node", "of it", "read", "busy", "idle", "")
    rows: list[tuple[str, ...]] = [
        (
            str(one.gpus),
            one.schedule,
            one.mode,
            str(node.node),
            f"{node.gpus} GPU{'' if node.gpus == 1 else 's'}",
            f"{node.read_s:,.2f} s",
            f"{node.busy_s:,.2f} s",
            "-" if node.idle_fraction is None else f"{node.idle_fraction:.1%}",
            "" if node.lost_at_s is None else f"lost at {node.lost_at_s:,.2f} s",
        )
        for one in replays
        for node in one.nodes[:SHOWN_NODES]
    ]
    return [head, *rows]
