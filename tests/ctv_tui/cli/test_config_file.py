"""Options of ``watch`` and ``eval`` from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ctv_engine.construction.plan import plan_of
from ctv_tui.cli import cli
from ctv_tui.cli.eval_command import command as eval_command
from ctv_tui.cli.watch_command import command as watch_command

PAPER = Path(__file__).parents[3] / "docs" / "paper"


def parsed(
    tmp_path: Path, text: str, *arguments: str, command: click.Command = watch_command, **env: str
) -> dict[str, Any]:
    """Return what a command's function would get."""
    (tmp_path / "conf").mkdir(exist_ok=True)
    config = tmp_path / "conf" / "run.toml"
    config.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return parsed_file(config, *arguments, command=command)


def parsed_file(
    config: Path, *arguments: str, command: click.Command = watch_command
) -> dict[str, Any]:
    return command.make_context("name", ["--config", str(config), *arguments]).params


def refusal(tmp_path: Path, text: str, command: str = "watch") -> str:
    config = tmp_path / "run.toml"
    config.write_text(text)
    result = CliRunner().invoke(cli, [command, "--config", str(config)])
    assert result.exit_code == 2, result.output
    assert result.output.startswith(f"Error: {config}: ")
    assert len(result.output.splitlines()) == 1
    return result.output.removeprefix(f"Error: {config}: ").rstrip("\n")


def test_the_file_gives_values_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    values = parsed(
        tmp_path,
        """
        checkpoint-dir = "../out"
        suite = "suite"
        gold = "/gold"
        batch-tokens = 32768
        pairing = false
        cloze = true
        quiet = 3
        gold-every = 5
        log-to = ["tensorboard:logs", "wandb:project"]
        """,
    )
    here = tmp_path / "conf"
    assert values["checkpoint_dir"] == str(here / "../out")
    assert (values["suite"], values["gold"]) == (str(here / "suite"), "/gold")
    assert (values["batch_tokens"], values["pairing"], values["cloze"]) == (32768, False, True)
    assert (values["quiet_s"], values["gold_every"]) == (3.0, 5)
    assert values["log_to"] == (f"tensorboard:{here / 'logs'}", "wandb:project")
    assert values["db"] == "run.db", "what the file does not say has its default"


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    tmp_path: Path,
) -> None:
    text = (
        'checkpoint-dir = "out"\nsuite = "a"\nevery = 2\ngold-every = 2\nhang = 20\npairing = true'
    )
    values = parsed(
        tmp_path,
        text,
        "other",
        "--every=4",
        "--no-pairing",
        CTV_TUI_EVERY="3",
        CTV_TUI_GOLD_EVERY="3",
    )
    assert (values["every"], values["gold_every"], values["hang_s"]) == (4, 3, 20.0)
    assert values["checkpoint_dir"] == "other"
    assert values["pairing"] is False


def test_the_files_of_the_papers_recipe_hold() -> None:
    run = parsed_file(PAPER / "run.toml")
    assert run["suite"] == str(PAPER / "paper-suite")
    assert (run["devices"], run["pairing"], run["batch_tokens"]) == ("cuda", False, 32768)
    plan = plan_of(tomllib.loads((PAPER / "suite.toml").read_text()), PAPER)
    assert sum(source.n or 0 for source in plan.sources) == 2230


def test_eval_takes_its_checkpoints_from_it(tmp_path: Path) -> None:
    text = 'checkpoints = ["a", "b"]\nsuite = "s"\nlog-to = "wandb:p"'
    values = parsed(tmp_path, text, command=eval_command)
    assert values["checkpoints"] == tuple(str(tmp_path / "conf" / name) for name in "ab")
    assert values["log_to"] == ("wandb:p",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batchtokens = 1", "'watch' has no option 'batchtokens'; did you mean batch-tokens?"),
        ("batch_tokens = 1", "'watch' has no option 'batch_tokens'; did you mean batch-tokens?"),
        ("zzz = 1", "'watch' has no option 'zzz'; there are checkpoint-dir, suite, db, "),
        ("config = 'x'", "'watch' has no option 'config'; "),
        ("[run]\nevery = 2", "'watch' has no option 'run'; "),
        ("every = 0", "every = 0: 0 is not in the range x>=1."),
        ("every = 'a'", "every = 'a': 'a' is not a valid integer range."),
        ("every = true", "every = True: write text or a number"),
        ("every = [1, 2]", "every = [1, 2]: write text or a number"),
        ("cloze = 'yes'", "cloze = 'yes': write true or false"),
        ("log-to = [true]", "log-to = True: write text or a number"),
        ("debias = 'all'", "debias = 'all': 'all' is not one of 'none', 'cyclic', "),
        ("started = 2026-01-01", "'watch' has no option 'started'; "),
        ("name = 2026-01-01", "name = datetime.date(2026, 1, 1): write text or a number"),
        ("every = ", "can't be read (Invalid value "),
        ('"\\u001b[31m" = 1', r"'watch' has no option '\x1b[31m'; "),
    ],
)
def test_what_it_can_not_hold_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    assert refusal(tmp_path, text).startswith(words)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["watch", "--config", str(tmp_path / "none.toml")])
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {tmp_path / 'none.toml'}: can't be read (")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    result = CliRunner().invoke(cli, ["eval", "--config", str(tmp_path / "bytes.toml")])
    assert result.output.startswith(f"Error: {tmp_path / 'bytes.toml'}: can't be read (")
