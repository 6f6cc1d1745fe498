"""Reaching a Ray cluster, or a line that says why not."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from ctv_engine.cluster.messages import ClusterError

CONNECT_S = 3.0
TOKEN_WAY_OUT = (
    "copy ~/.ray/auth_token of the head's machine here, or set RAY_AUTH_TOKEN;"
    " RAY_AUTH_MODE=disabled is for a cluster that was started without (see docs/cluster.md)"
)


def resolve(address: str | None) -> str:
    """Return the head's ``HOST:PORT`` after it has answered.

    Without an address RAY_ADDRESS counts, and then the cluster that runs on this machine.

    Raises:
        ClusterError: there is none, or it does not answer.
    """
    source = ""
    if not address:
        address = os.environ.get("RAY_ADDRESS", "")
        source = " (from RAY_ADDRESS)"
    if address in ("", "auto", "local"):
        address, source = _running_here(), " (this machine's cluster)"
    if address.startswith("ray://"):
        raise ClusterError(
            f"Ray at {address}: the engine joins the cluster itself; start Ray on this machine"
            " (`ray start --address HEAD:6379`) and use --pool ray"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"Ray at {address!r}{source}: the address must be HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"Ray at {address}{source}: no answer ({_words(error)}); start it with `ray start"
            " --head --num-gpus N` on that machine, or give its address: --pool ray:HOST:PORT"
        ) from error
    return address


def _running_here() -> str:
    """Return what `ray start` notes on its machine."""
    note = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    with suppress(OSError):
        address = note.read_text().strip()
        if address:
            return address
    raise ClusterError(
        "no Ray cluster runs on this machine; start one with `ray start --head --num-gpus N`, join"
        " one with `ray start --address HEAD:6379`, or use --pool local"
    )


def connect(address: str | None) -> str:
    """Make this process the cluster's driver; return the address of the head.

    Token authentication is on unless RAY_AUTH_MODE says otherwise.

    Raises:
        ClusterError: the cluster can't be used; the text is one line.
    """
    address = resolve(address)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(
            address=address, logging_level="ERROR", log_to_driver=False, configure_logging=False
        )
    except AuthenticationError as error:
        raise ClusterError(f"Ray at {address} needs a token: {TOKEN_WAY_OUT}") from error
    except ConnectionError as error:
        raise ClusterError(
            f"Ray at {address} answers, but refuses this machine; most often its token is another"
            f" one: {TOKEN_WAY_OUT}"
        ) from error
    except SystemExit as error:  # Ray's way to give up on a head that takes no request
        raise ClusterError(
            f"Ray at {address} is reached, but does not answer; is it Ray's head? See `ray status`"
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise ClusterError(f"Ray at {address}: {_first_line(error)}") from error
    return address


def _first_line(error: BaseException) -> str:
    """Return what an error says in one line; what Ray says about versions spans several."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "ersion mismatch" in lines[0]:
        return _other_versions(str(error)) or " ".join(lines)
    return lines[0] if lines else type(error).__name__


def _other_versions(text: str) -> str | None:
    """Return what Ray found to be otherwise here than at the head, whose versions come first."""
    found = [re.findall(rf"^\s*{name}: (\S+)", text, re.M) for name in ("Ray", "Python")]
    if any(len(versions) != 2 for versions in found):
        return None
    others = [
        f"{name} {head}, this machine {here}"
        for name, (head, here) in zip(("Ray", "Python"), found, strict=True)
        if head != here
    ]
    return f"the head has {' and '.join(others)}; install the same versions on both"


def _words(error: OSError | OverflowError) -> str:
    return str(getattr(error, "strerror", None) or error)
