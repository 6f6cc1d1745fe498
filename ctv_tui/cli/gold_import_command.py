"""``ctv-tui gold import``: scores by step, from whatever a team already trusts."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import db_option, option

WAIT_S = 15.0


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@db_option
@option("--name", env="GOLD_NAME", help="Name of the series; by default that of the file.")
@option(
    "--scale",
    env="GOLD_SCALE",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="What a full score is in the file: 100 for per cent.",
)
def command(file: str, db: str, name: str | None, scale: float) -> None:
    """Import FILE: CSV with a first line, or a JSON list; step, score and, if any, dataset.

    For a run without a gold suite it becomes the gold standard; beside one it stands apart.
    A running engine takes it within a second. Import again to bring a series up to date.
    """
    from ctv_engine.store.imported import SeriesError, hand_over, read_series
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import CommandError, find_engine
    from ctv_tui.data.safe_text import safe

    path = Path(db)
    check(path)
    chosen = re.sub(r"[^\w.-]+", "-", name or Path(file).stem).strip("-.") or "gold"
    try:
        series = read_series(Path(file), chosen, scale)
    except SeriesError as error:
        raise CommandError(safe(str(error)), EXIT_USAGE) from error
    if find_engine(path) is not None:
        waiting = hand_over(path, series)
        end = time.monotonic() + WAIT_S
        while waiting.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if waiting.exists():
            late = f"the engine has not taken {waiting} within {WAIT_S:.0f} s; it may yet"
            raise CommandError(late, EXIT_FAILED)
        click.echo(f"the engine has taken {len(series.points)} scores; its events say the rest")
        return
    for sentence in _write(path, series):
        click.echo(sentence)


def _write(path: Path, series: object) -> list[str]:
    from ctv_engine.service.tracking import track, words_of
    from ctv_engine.store.answers import shown_run
    from ctv_engine.store.imported import GoldSeries, write_series
    from ctv_engine.store.lock import EngineLock
    from ctv_engine.store.writer import Writer
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    assert isinstance(series, GoldSeries)
    with EngineLock(path, socket.gethostname()):
        writer = Writer(path)
        try:
            run_id = shown_run(writer.connection)
            if run_id is None:
                raise CommandError(f"{path} holds no run yet", EXIT_FAILED)
            ((config,),) = writer.query("SELECT config_json FROM runs WHERE id = ?", run_id)
            window = json.loads(config).get("window", 8)
            done = write_series(writer, run_id, series)
            if not done.known:
                steps = ", ".join(str(step) for step in done.unknown[:5])
                raise CommandError(
                    f"no checkpoint of {path} has one of its steps ({steps} …); nothing imported",
                    EXIT_FAILED,
                )
            track(writer, run_id, window, anew=True)
            sentence = words_of(series, done)
            writer.add_event("info", "gold", sentence, None, run_id=run_id)
            return [safe(sentence)]
        finally:
            writer.close()
