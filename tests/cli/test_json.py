"""`--json`: one document, valid, with its schema, and nothing beside it on stdout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxprune.cli.json_document import plain
from tests.cli.conftest import Cli

SHORT = ("--duration", "0.05", "--warmup", "1")


def strict(text: str) -> dict[str, Any]:
    """A document without nan and infinity, which are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return document


def commands(model: Path, samples: Path, folder: Path) -> dict[str, list[object]]:
    """One call of each command."""
    return {
        "doctor": [model],
        "inspect": [model],
        "prune": [model, "-o", folder / "out.onnx", "--target", "macs=60%"],
        "verify": [model, model],
        "measure": [model, "--data", samples, "--reference", model],
        "bench": [model, *SHORT, "--per-node"],
        "compare": [model, model, "--data", samples, *SHORT],
    }


@pytest.mark.parametrize("command", ["doctor", "inspect", "prune", "verify", "measure", "bench", "compare"])
def test_every_command_writes_one_document_on_stdout(
    command: str, cli: Cli, model: Path, samples: Path, tmp_path: Path
) -> None:
    ran = cli(command, *commands(model, samples, tmp_path)[command], "--json", "-")
    document = strict(ran.out)
    assert ran.code == 0, ran.err
    assert (document["schema"], document["command"]) == (1, command)
    assert isinstance(document["warnings"], list)


def test_the_word_after_json_may_be_left_out(cli: Cli, model: Path) -> None:
    assert strict(cli("inspect", model, "--json").out)["command"] == "inspect"


def test_a_file_gets_the_document_and_stdout_the_tables(cli: Cli, model: Path, tmp_path: Path) -> None:
    ran = cli("inspect", model, "--json", tmp_path / "document.json")
    assert strict((tmp_path / "document.json").read_text("utf-8"))["cost"]["macs"] > 0
    assert "MACs" in ran.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chain.onnx", "document.json"]


def test_an_earlier_document_is_replaced_and_another_file_is_not(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "document.json"
    assert cli("inspect", model, "--json", path).code == 0
    assert cli("inspect", model, "--json", path).code == 0
    path.write_text('{"kept": {}}')
    ran = cli("inspect", model, "--json", path)
    assert (ran.error_code, ran.code) == ("E203", 2)
    assert path.read_text() == '{"kept": {}}'


def test_an_error_is_in_the_document_too(cli: Cli, tmp_path: Path) -> None:
    ran = cli("inspect", tmp_path / "nope.onnx", "--json", "-")
    error = strict(ran.out)["error"]
    assert (error["code"], error["exit_code"], ran.code) == ("E301", 3, 3)
    assert "does not exist" in error["message"]


def test_a_gate_that_fails_leaves_the_whole_document(cli: Cli, model: Path) -> None:
    ran = cli("compare", model, model, "--no-latency", "--gate", "macs<0.5x", "--json", "-")
    document = strict(ran.out)
    assert ran.code == 9
    assert document["gates"] == {"macs<0.5x": False}
    assert document["figures"]["macs"]["a"] == document["figures"]["macs"]["b"]


def test_the_document_of_inspect_explains_every_weighted_node(cli: Cli, model: Path) -> None:
    nodes = strict(cli("inspect", model, "--json").out)["nodes"]
    assert [node["op_type"] for node in nodes] == ["Conv", "Conv", "Gemm"]
    assert all(node["produces"] or node["reads"] or node["reason"] for node in nodes)


def test_values_of_all_kinds_become_plain() -> None:
    values = {
        1: np.float32(0.5),
        "path": Path("a"),
        "set": {2, 1},
        "nan": float("nan"),
        "type": np.dtype("f4"),
    }
    assert plain(values) == {"1": 0.5, "path": "a", "set": [1, 2], "nan": None, "type": "float32"}
    assert plain((np.int64(3), np.array([1.0, np.inf]), True)) == [3, [1.0, None], True]
