"""``ctv-tui demo``: the whole product on two CPU cores."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from ctv_tui.cli.options import dashboard_options, option, preferences

if TYPE_CHECKING:
    from ctv_tui.cli.engine_process import EngineProcess

DEFAULT_DIR = "ctv-demo"
START_S = 10.0
"""Seconds set aside for the trainer's imports."""
TAIL_S = 35.0
"""Seconds set aside for what is left to score once training has ended."""
SECONDS_PER_CHECKPOINT = 17.0
POLL_S = 0.3


@click.command("demo")
@option("--headless", env="HEADLESS", is_flag=True, help="No dashboard: print events and a table.")
@option(
    "--minutes",
    env="DEMO_MINUTES",
    default=5.0,
    show_default=True,
    type=click.FloatRange(min=2.0),
    help="About how long the whole demo takes.",
)
@option(
    "--dir",
    "directory",
    env="DEMO_DIR",
    type=click.Path(file_okay=False),
    help=f"Where to put everything; by default {DEFAULT_DIR}, or the next free name.",
)
@dashboard_options
@click.pass_context
def command(
    ctx: click.Context,
    headless: bool,
    minutes: float,
    directory: str | None,
    theme: str | None,
    ascii_only: bool,
    save_dir: str | None,
) -> None:
    """Train a tiny vision-language model on this machine and validate it live.

    Real pictures, real gradient steps, real checkpoints: a run in miniature, on two CPU cores.
    """
    from ctv_tui.cli.dashboard import is_interactive, open_dashboard, print_once
    from ctv_tui.cli.engine_process import CommandError

    chosen = preferences(theme, ascii_only, save_dir)
    started = time.monotonic()
    place = _place(directory)
    if not headless and not is_interactive():
        click.echo("not a terminal: going on as with --headless", err=True)
        headless = True
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # so that trainer and engine are ended on every way out
    click.echo(f"preparing pictures and questions in {place} …")
    demo = _Demo.start(place, minutes * 60, started)
    status = 0
    try:
        if headless:
            demo.follow()
        else:
            status = open_dashboard(demo.db, chosen)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    finally:
        demo.end()
    print_once(demo.db)
    if status == 0:
        status = EXIT_FAILED if demo.failed else 0
    if demo.failed:
        raise CommandError(demo.failed)
    ctx.exit(status)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _place(directory: str | None) -> Path:
    from ctv_tui.cli.engine_process import CommandError

    if directory is not None:
        place = Path(directory).resolve()
        if place.exists() and any(place.iterdir()):
            raise CommandError(
                f"--dir {place} is not empty; choose another, or open what is there with"
                f" `ctv-tui --db {place / 'run.db'}`",
                EXIT_USAGE,
            )
    else:
        place = Path(DEFAULT_DIR).resolve()
        number = 2
        while place.exists():
            place = place.with_name(f"{DEFAULT_DIR}-{number}")
            number += 1
    place.mkdir(parents=True, exist_ok=True)
    return place


class _Demo:
    """A trainer and an engine, each a process of its own; neither knows of the other."""

    def __init__(
        self, place: Path, trainer: subprocess.Popen[bytes], engine: EngineProcess
    ) -> None:
        self.db = place / "run.db"
        self.failed: str | None = None
        self._log = place / "train.log"
        self._trainer = trainer
        self._engine = engine
        self._ends = threading.Event()
        threading.Thread(target=self._drain_after_training, daemon=True).start()

    @classmethod
    def start(cls, place: Path, budget_s: float, started: float) -> _Demo:
        from ctv_tui.cli.engine_process import CommandError, EngineProcess, make_settings

        try:
            from ctv_engine.demo import seed_directory
            from ctv_engine.demo.data import prepare
        except ImportError as error:
            raise CommandError(
                f"the demo needs {error.name}: pip install 'ctv-tui[demo]'", EXIT_USAGE
            ) from error
        (place / "run").mkdir()
        settings = make_settings(
            checkpoint_dir=str(place / "run"),
            suite=str(place / "suite"),
            gold=str(place / "gold"),
            db=str(place / "run.db"),
            name="demo",
            devices="cpu",
            quiet_s=0.5,
            poll_s=0.5,
        )
        prepare(place)
        seconds = max(45.0, budget_s - (time.monotonic() - started) - START_S - TAIL_S)
        checkpoints = max(5, round(seconds / SECONDS_PER_CHECKPOINT))
        with (place / "train.log").open("wb") as log:
            trainer = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "ctv_engine.demo.train"),
                    *("--data", str(place / "train"), "--seed-model", str(seed_directory())),
                    *("--out", str(place / "run"), "--seconds", f"{seconds:.0f}"),
                    *("--checkpoints", str(checkpoints), "--save-total-limit", "3"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            engine = EngineProcess.start(settings)
        except BaseException:
            trainer.terminate()
            raise
        return cls(place, trainer, engine)

    def _drain_after_training(self) -> None:
        status = self._trainer.wait()
        if status != 0 and not self._ends.is_set():
            self.failed = f"training ended with status {status}; see {self._log}"
        self._engine.drain()

    def follow(self) -> None:
        """Print the engine's events until it has ended."""
        from ctv_engine.store.reader import open_read_only
        from ctv_tui.data.safe_text import safe

        connection = open_read_only(self.db)
        last = 0
        while True:
            ended = self._engine.process.poll() is not None
            for row in connection.execute(
                "SELECT id, at, level, message FROM events WHERE id > ? ORDER BY id", (last,)
            ).fetchall():
                last = row["id"]
                clock = time.strftime("%H:%M:%S", time.localtime(row["at"]))
                mark = "" if row["level"] == "info" else f"{row['level']}: "
                click.echo(f"{clock}  {mark}{safe(row['message'])}")
            if ended:
                break
            time.sleep(POLL_S)
        connection.close()
        if self._engine.process.returncode:
            self.failed = f"the engine ended with status {self._engine.process.returncode}"

    def end(self) -> None:
        """End both processes, whatever they are doing."""
        self._ends.set()
        if self._trainer.poll() is None:
            self._trainer.terminate()
        self._engine.stop()
        self._trainer.wait()
