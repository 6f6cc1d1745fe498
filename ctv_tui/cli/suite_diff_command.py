"""``ctv-tui suite diff``: what two suites ask differently."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctv_tui.cli import EXIT_FAILED, EXIT_USAGE
from ctv_tui.cli.options import option

if TYPE_CHECKING:
    from ctv_engine.suite import Suite
    from ctv_engine.suite.difference import Difference


@click.command("diff")
@click.argument("old", type=click.Path(file_okay=False))
@click.argument("new", type=click.Path(file_okay=False))
@option(
    "--items",
    env="ITEMS",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Items to list; 0: all.",
)
@option("--json", "as_json", env="JSON", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, old: str, new: str, items: int, as_json: bool) -> None:
    """Say what the suites OLD and NEW ask differently.

    The exit status is 0 if they ask the same, 1 if not.
    """
    from ctv_engine.suite import SuiteError, read_suite
    from ctv_engine.suite.difference import difference
    from ctv_tui.cli.engine_process import CommandError

    try:
        suites = read_suite(Path(old)), read_suite(Path(new))
    except SuiteError as error:
        raise CommandError(str(error), EXIT_USAGE) from error
    found = difference(*suites)
    if as_json:
        click.echo(json.dumps(_document(found, *suites)))
    else:
        click.echo("\n".join(_lines(found, *suites, items)))
    ctx.exit(0 if found.is_none else EXIT_FAILED)


def _document(found: Difference, old: Suite, new: Suite) -> dict[str, Any]:
    return {
        "old_digest": old.digest,
        "new_digest": new.digest,
        "added": [list(key) for key in found.added],
        "removed": [list(key) for key in found.removed],
        "changed": [[*key, list(names)] for key, names in found.changed.items()],
        "settings": [[*place, *map(str, values)] for place, values in found.settings.items()],
    }


def _lines(found: Difference, old: Suite, new: Suite, most: int) -> list[str]:
    from ctv_tui.data.safe_text import safe, shorten

    digests = f"{old.digest[:16]} → {new.digest[:16]}"
    if found.is_none:
        same = "the same digest" if old.digest == new.digest else f"digests {digests}"
        return [f"both ask the same {len(new.items):,} items ({same})"]
    lines = [f"{safe(old.name)} → {safe(new.name)}, digest {digests}"]
    for (place, name), (before, after) in found.settings.items():
        pair = f"{shorten(safe(str(before)), 60)!r} → {shorten(safe(str(after)), 60)!r}"
        lines.append(f"{safe(place)}: {name} {pair}")
    kinds = {"added": found.added, "removed": found.removed, "changed": tuple(found.changed)}
    sizes = [Counter(item.dataset for item in suite.items) for suite in (old, new)]
    for dataset in sorted(sizes[0] | sizes[1]):
        parts = [
            f"{count:,} {kind}"
            for kind, keys in kinds.items()
            if (count := sum(name == dataset for name, _ in keys))
        ]
        both = f"{sizes[0][dataset]:,} → {sizes[1][dataset]:,} items"
        lines.append(f"{safe(dataset)}: {both}; {', '.join(parts) or 'the same ones'}")
    listed: list[tuple[str, tuple[str, str], tuple[str, ...]]] = []
    listed += [("+", key, ()) for key in found.added]
    listed += [("-", key, ()) for key in found.removed]
    listed += [("~", key, names) for key, names in found.changed.items()]
    for sign, (dataset, key), names in listed[: most or None]:
        which = f" ({', '.join(names)})" if names else ""
        lines.append(f"{sign} {safe(dataset)}/{safe(key)}{which}")
    if most and len(listed) > most:
        lines.append(f"… {len(listed) - most:,} more: --items 0")
    return lines
