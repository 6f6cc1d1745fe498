"""``--config FILE``: a command's options from a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ctv_tui.cli import EXIT_USAGE
from ctv_tui.cli.engine_process import CommandError, tracker_from

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    """Add ``--config``: the command line comes before the environment, that before the file."""
    return click.option(
        "--config",
        envvar="CTV_TUI_CONFIG",
        show_envvar=True,
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_read,
        help="TOML file of these options, such as batch-tokens = 32768 or pairing = false; its"
        " paths are relative to it. What the command line or the environment says comes first.",
    )(command)


def _read(context: click.Context, _: click.Parameter, value: str | None) -> None:
    """Make the file's values the command's defaults."""
    if value is None or context.resilient_parsing:
        return
    path = Path(value)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(path, f"can't be read ({error})") from error
    options = {
        name: parameter
        for parameter in context.command.params
        if parameter.name is not None and parameter.name not in ("config", "help")
        for name in [_key(parameter)]
    }
    context.default_map = {}
    for key, given in table.items():
        if key not in options:
            near = difflib.get_close_matches(key, options, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(options)}"
            raise _refused(path, f"'{context.info_name}' has no option {key!r}; {hint}")
        parameter = options[key]
        context.default_map[parameter.name or ""] = _value(context, parameter, given, path, key)


def _key(parameter: click.Parameter) -> str:
    """Return an option's name in the file: that of the command line, without its dashes."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).removeprefix("--")
    return (parameter.name or "").replace("_", "-")


def _value(
    context: click.Context, parameter: click.Parameter, given: Any, path: Path, key: str
) -> Any:
    """Return a value as the command line would give it.

    Raises:
        CommandError: it is of the wrong type or outside its range.
    """
    several = parameter.multiple or parameter.nargs == -1
    if several and isinstance(given, list):
        return [_one(context, parameter, one, path, key) for one in given]
    one = _one(context, parameter, given, path, key)
    return [one] if several else one


def _one(
    context: click.Context, parameter: click.Parameter, given: Any, path: Path, key: str
) -> Any:
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    if is_flag != isinstance(given, bool) or not isinstance(given, str | bool | int | float):
        wanted = "true or false" if is_flag else "text or a number"
        raise _refused(path, f"{key} = {given!r}: write {wanted}")
    if isinstance(parameter.type, click.Path):
        return str(path.parent / str(given))
    if parameter.name == "log_to":
        return tracker_from(path.parent, str(given))
    try:
        return parameter.type.convert(given, parameter, context)
    except click.BadParameter as error:
        raise _refused(path, f"{key} = {given!r}: {error.message}") from error


def _refused(path: Path, why: str) -> click.ClickException:
    from ctv_tui.data.safe_text import safe

    return CommandError(safe(f"{path}: {why}"), EXIT_USAGE)
