"""Options that several commands share. Each has one environment variable, whatever the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ctv_tui.preferences import Preferences

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


_MODEL_OPTIONS = (
    option(
        "--devices",
        env="DEVICES",
        default="auto",
        show_default=True,
        help="auto (the GPUs that nobody uses, else the CPU), cpu, cpu:4 (four workers),"
        " cuda (every visible GPU), cuda:0,1, or UUIDs of GPUs or MIG instances.",
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
        default=32,
        show_default=True,
        type=click.IntRange(min=1),
        help="Most prompts per forward, and rows that are decoded at once.",
    ),
    option(
        "--batch-tokens",
        env="BATCH_TOKENS",
        default=8192,
        show_default=True,
        type=click.IntRange(min=1),
        help="Most prompt tokens per forward, image tokens and padding included.",
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
)
_RUN_OPTIONS = (
    option(
        "--pool",
        env="POOL",
        default="local",
        show_default=True,
        metavar="local|ray[:ADDRESS]",
        help="Where workers run: on this machine, or on every machine of a Ray cluster"
        " (docs/cluster.md).",
    ),
    option(
        "--files",
        env="FILES",
        default="auto",
        show_default=True,
        type=click.Choice(["auto", "shared", "ship"]),
        help="How a cluster's machines get checkpoints and suites: from a shared file system, or"
        " as a copy; auto: a copy where no other machine sees them.",
    ),
    option(
        "--node-silence",
        "node_silence_s",
        env="NODE_SILENCE",
        default=10.0,
        show_default=True,
        type=click.FloatRange(min=3),
        help="Seconds without a word after which a machine of a cluster counts as gone.",
    ),
    option(
        "--gold",
        env="GOLD",
        type=click.Path(file_okay=False),
        help="Directory of the gold suite, evaluated open in the background.",
    ),
    option(
        "--pairing/--no-pairing",
        env="PAIRING",
        default=True,
        show_default=True,
        help="Prefill what closed and open form of an item share only once; without it"
        " closed scores are there sooner, open ones later.",
    ),
    option(
        "--schedule",
        env="SCHEDULE",
        default="queue",
        show_default=True,
        type=click.Choice(["queue", "static"]),
        help="queue: workers take the longest batch left; static: fixed shards and a"
        " barrier per dataset, to see what that costs.",
    ),
    option(
        "--debias",
        env="DEBIAS",
        default="none",
        show_default=True,
        type=click.Choice(["none", "cyclic", "pride", "batch"]),
        help="Also score the closed task without the preference for letters: cyclic asks every item"
        " with its options in every rotation, pride a few of them, batch none.",
    ),
    option(
        "--cloze",
        env="CLOZE",
        is_flag=True,
        help="Also score the closed task by the probability of the options' text, for checkpoints"
        " that can't answer with letters yet.",
    ),
    option(
        "--hang",
        "hang_s",
        env="HANG",
        default=600.0,
        show_default=True,
        type=click.FloatRange(min=1),
        help="Seconds that a worker may be stuck in a batch before it is replaced.",
    ),
    option(
        "--judge",
        env="JUDGE",
        type=click.Path(dir_okay=False),
        help="TOML file with [providers.judge]: the model that scores datasets of metric judge.",
    ),
    option(
        "--judge-budget",
        "judge_calls",
        env="JUDGE_BUDGET",
        type=click.IntRange(min=1),
        help="Most questions to the judge; what is left has no score and says why.",
    ),
    option(
        "--alert-command",
        env="ALERT_COMMAND",
        help="Run this for alerts: a score that drops beyond noise, letters that lose their"
        " probability, answers that hit their limit, stragglers, validation falling behind. It"
        " gets JSON on standard input. A webhook: its address in CTV_TUI_ALERT_WEBHOOK.",
    ),
    option(
        "--alert-every",
        "alert_every_s",
        env="ALERT_EVERY",
        default=300.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Seconds between two messages at least; what comes meanwhile is in the next.",
    ),
    option(
        "--log-to",
        env="LOG_TO",
        multiple=True,
        metavar="KIND:PLACE",
        help="Also write scores and r at the checkpoint's step to tensorboard:DIR, wandb:PROJECT"
        " or trackio:PROJECT; repeatable.",
    ),
    option(
        "--gold-every",
        env="GOLD_EVERY",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Evaluate gold on each k-th checkpoint, and on the last.",
    ),
    option(
        "--cache-gb",
        env="CACHE_GB",
        default=20.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Most disk space for pictures that are already resized; 0: no cache.",
    ),
    option(
        "--cache-dir",
        env="CACHE_DIR",
        type=click.Path(file_okay=False),
        help="Where that cache lies; by default ctv-tui/inputs in the user's cache folder.",
    ),
)


_DASHBOARD_OPTIONS = (
    option(
        "--theme",
        env="THEME",
        type=click.Choice(["dark", "light", "ansi"]),
        help="Colours of the dashboard; ansi: the terminal's own sixteen.",
    ),
    option(
        "--ascii",
        "ascii_only",
        env="ASCII",
        is_flag=True,
        help="No box, block or braille characters in the dashboard.",
    ),
    option(
        "--save-dir",
        env="SAVE_DIR",
        type=click.Path(file_okay=False),
        help="Where the dashboard's key s saves to; by default the current directory.",
    ),
)


def dashboard_options(command: F) -> F:
    """Add what every command that opens the dashboard takes; see :func:`preferences`."""
    return _decorated(command, _DASHBOARD_OPTIONS)


def preferences(
    theme: Any, ascii_only: bool, save_dir: str | None, compare: Sequence[str] = ()
) -> Preferences:
    """Return the dashboard's options as one value."""
    from ctv_tui.preferences import Preferences

    folder = Path(save_dir) if save_dir else None
    return Preferences(theme, ascii_only, folder, compare=tuple(map(Path, compare)))


def model_options(command: F) -> F:
    """Add what says where and how a checkpoint runs."""
    return _decorated(command, _MODEL_OPTIONS)


def engine_options(command: F) -> F:
    """Add what every command that starts an engine takes."""
    return _decorated(command, (*_MODEL_OPTIONS, *_RUN_OPTIONS))


def _decorated(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for decorate in reversed(options):
        command = decorate(command)
    return command
