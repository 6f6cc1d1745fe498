"""Entry point of ``ctv-tui`` and ``python -m ctv_tui``."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the exit status is the command's."""
    from ctv_tui.cli import cli

    cli()


if __name__ == "__main__":
    main()
