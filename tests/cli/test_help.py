"""Every --help: all options explained, none too wide, and near misses answered."""

import importlib

import click
import pytest

from onnxprune.cli.main import COMMANDS
from onnxprune.evaluation import METHODS as REPAIRS
from onnxprune.reconstruction import METHODS
from tests.cli.conftest import Cli


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_in_80_columns(command: str, cli: Cli) -> None:
    ran = cli(command, "--help")
    module = importlib.import_module(f"onnxprune.cli.{command}_command")
    options = [p for p in module.command.params if isinstance(p, click.Option)]
    assert ran.code == 0
    assert [option.name for option in options if not option.help] == []
    assert [option.opts[0] for option in options if option.opts[0] not in ran.out] == []
    prose = [line for line in ran.out.splitlines() if "onnxprune " not in line]
    assert [line for line in prose if len(line) > 80] == []


@pytest.mark.parametrize(
    ("command", "option", "known"),
    [
        ("search", "--repair", REPAIRS),
        ("compress", "--reconstruct-method", METHODS),
        ("prune", "--reconstruct", METHODS),
        ("reconstruct", "--method", METHODS),
    ],
)
def test_help_names_every_repair(command: str, option: str, known: tuple[str, ...], cli: Cli) -> None:
    lines = " ".join(cli(command, "--help").out.split()).partition(f" {option} ")[2]
    assert [name for name in known if name not in lines.partition(" --")[0]] == []


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["prune", "-h"]])
def test_help_is_no_error(words: list[str], cli: Cli) -> None:
    assert cli(*words).code == 0


def test_without_any_word_the_help_is_shown(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    assert all(command in ran.out for command in COMMANDS)


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").out.startswith("onnxprune, version ")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["insepct", "x"], "'inspect'"),
        (["inspect", "x", "--nods"], "--nodes"),
        (["prune", "x", "--critreion", "l1"], "--criterion"),
        (["prune", "x", "-o", "y", "--target", "macs=50%", "--criterion", "hrnk"], "'hrank'"),
        (["bench", "x", "--thread", "2"], "--threads"),
    ],
)
def test_near_misses_are_answered_with_what_was_meant(words: list[str], meant: str, cli: Cli) -> None:
    ran = cli(*words)
    assert (ran.error_code, ran.code) == ("E201", 2)
    assert f"did you mean {meant}" in ran.err
