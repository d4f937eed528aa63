"""The table of agents: names, help, and what needs torch only when it is made."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import onnx
import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.allocation import ALLOCATIONS
from tests.search.conftest import three_convolutions

ALONE = """
import sys
sys.modules["torch_geometric"] = None  # importing it fails
from onnxprune.agents.table import AGENTS
from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.agents.conftest import problem_of, world_of
problem = problem_of(world_of(CostModel(find_groups(load_graph(sys.argv[1])))))
for name in sys.argv[2:]:
    assert len(AGENTS[name].make(problem, None).ask(2)) == 2, name
"""


def test_every_agent_has_a_name_and_a_line_of_help() -> None:
    searches = {"one-shot", "random", "greedy", "cross-entropy", "annealing", "evolution"}
    assert searches | {"gat-ppo", "rl-pruner", "amc", "agmc", "gnn-rl"} < set(AGENTS)
    assert set(ALLOCATIONS) < set(AGENTS)
    assert all(name == kind.name and kind.help and "\n" not in kind.help for name, kind in AGENTS.items())
    needing = [name for name, kind in AGENTS.items() if kind.needs_torch]
    assert needing == ["gat-ppo", "amc", "agmc", "gnn-rl"]
    assert [name for name, kind in AGENTS.items() if "torch_geometric" in kind.packages] == ["gat-ppo"]


def test_what_needs_torch_alone_runs_without_torch_geometric(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    onnx.save(three_convolutions(np.random.default_rng(0)), tmp_path / "model.onnx")
    names = [name for name, kind in AGENTS.items() if kind.packages == ("torch",)]
    assert names == ["amc", "agmc", "gnn-rl"]
    ran = subprocess.run([sys.executable, "-c", ALONE, tmp_path / "model.onnx", *names], check=False)
    assert ran.returncode == 0


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
