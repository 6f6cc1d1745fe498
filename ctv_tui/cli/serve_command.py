"""``ctv-tui serve``: the dashboard in a browser."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import dashboard_options, db_option, option


@click.command("serve")
@db_option
@option(
    "--host",
    env="HOST",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; anything but loopback lets others in, without a password.",
)
@option(
    "--port",
    env="PORT",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@option("--public-url", env="PUBLIC_URL", help="What browsers call it, if it's another name.")
@dashboard_options
def command(
    db: str,
    host: str,
    port: int,
    public_url: str | None,
    theme: str | None,
    ascii_only: bool,
    save_dir: str | None,
) -> None:
    """Show the dashboard in a browser, one of its own for each window.

    Ends with ctrl+c, and the dashboards with it. There is no password: reach it through
    `ssh -L 8000:localhost:8000 HOST` rather than by opening it to a network.
    """
    from ctv_tui.cli.dashboard import check
    from ctv_tui.cli.engine_process import CommandError
    from ctv_tui.data.safe_text import safe

    if find_spec("textual_serve") is None:
        raise CommandError("serve needs textual-serve: pip install 'ctv-tui[serve]'", EXIT_USAGE)
    path = Path(db).resolve()
    check(path)
    from ctv_tui.serve import serve

    arguments = [sys.executable, "-m", "ctv_tui", "--db", str(path)]
    arguments += ["--theme", theme] if theme else []
    arguments += ["--ascii"] if ascii_only else []
    arguments += ["--save-dir", str(Path(save_dir).resolve())] if save_dir else []
    if not is_loopback(host):
        click.echo(f"warning: whoever can reach {safe(host)}:{port} sees this run", err=True)
    url = public_url or f"http://{_name(host)}:{port}"
    click.echo(f"{safe(url)} shows {safe(str(path))}; ctrl+c ends it")
    try:
        # The shell gives way to the dashboard, which so becomes this process's own child.
        serve("exec " + shlex.join(arguments), host, port, url)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(f"--host {host} --port {port}: {reason}", EXIT_FAILED) from error


def _name(host: str) -> str:
    """Return what a browser calls an address; one that means all of them is this machine's name."""
    if host in ("0.0.0.0", "::"):
        return gethostname()
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
