"""Options that several commands share. Each has one environment variable, whatever the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, env: str, **settings: Any) -> Callable[[F], F]:
    """Return a click option with an environment variable that its help names."""
    return click.option(*names, envvar=f"CTV_TUI_{env}", show_envvar=True, **settings)


db_option = option(
    "--db",
    env="DB",
    default="run.db",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The SQLite file.",
)

suite_option = option(
    "--suite",
    env="SUITE",
    required=True,
    type=click.Path(file_okay=False),
    help="Directory of the paired suite (suite.toml, items.jsonl, images/).",
)


def engine_options(command: F) -> F:
    """Add what every command that starts an engine takes."""
    for decorate in reversed(
        [
            option(
                "--gold",
                env="GOLD",
                type=click.Path(file_okay=False),
                help="Directory of the gold suite, evaluated open in the background.",
            ),
            option(
                "--devices",
                env="DEVICES",
                default="auto",
                show_default=True,
                help="auto, cpu, cpu:4 (four workers), cuda, or cuda:0,1.",
            ),
            option(
                "--dtype",
                env="DTYPE",
                default="auto",
                show_default=True,
                type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                help="auto: the checkpoint's own on GPUs, float32 on CPUs.",
            ),
            option(
                "--batch-size",
                env="BATCH_SIZE",
                default=16,
                show_default=True,
                type=click.IntRange(min=1),
                help="Items per forward.",
            ),
            option(
                "--processor",
                env="PROCESSOR",
                type=click.Path(file_okay=False),
                help="Directory of the processor, for checkpoints saved without one.",
            ),
            option(
                "--base",
                env="BASE",
                type=click.Path(file_okay=False),
                help="Directory of the base model, for checkpoints that hold only a LoRA adapter.",
            ),
        ]
    ):
        command = decorate(command)
    return command
