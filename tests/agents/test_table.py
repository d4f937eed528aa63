"""The table of agents: names, help, and what needs torch only when it is made."""

import subprocess
import sys
from importlib import import_module
from typing import get_args, get_type_hints

import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.allocation import ALLOCATIONS


def test_every_agent_has_a_name_and_a_line_of_help() -> None:
    searches = {"one-shot", "random", "greedy", "cross-entropy", "annealing", "evolution"}
    assert searches | {"gat-ppo", "rl-pruner", "amc", "agmc", "gnn-rl"} < set(AGENTS)
    assert set(ALLOCATIONS) < set(AGENTS)
    assert all(name == kind.name and kind.help and "\n" not in kind.help for name, kind in AGENTS.items())
    needing = [name for name, kind in AGENTS.items() if kind.needs_torch]
    assert needing == ["gat-ppo", "amc", "agmc", "gnn-rl"]


def test_the_table_does_not_import_torch() -> None:
    code = "import sys, onnxprune.agents.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "module", "options"),
    [
        ("gat-ppo", "gat_ppo.options", "GatPpoOptions"),
        ("amc", "amc.options", "AmcOptions"),
        ("agmc", "agmc.options", "AgmcOptions"),
        ("rl-pruner", "rl_pruner.options", "RlPrunerOptions"),
    ],
)
def test_the_rewards_of_an_agent_are_those_that_its_options_take(
    name: str, module: str, options: str
) -> None:
    pytest.importorskip("torch_geometric")
    kind = getattr(import_module(f"onnxprune.agents.{module}"), options)
    assert AGENTS[name].rewards == get_args(get_type_hints(kind)["reward"])
