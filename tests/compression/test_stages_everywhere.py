"""Stages with every agent, and on a transformer."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.compression import compress, start, summary_of
from onnxprune.groups import find_groups
from onnxprune.masks import load_masks
from onnxprune.onnx_file import load_graph
from tests.compression.conftest import options, with_run
from tests.compression.test_search_box import QUICK
from tests.exported import export_case
from tests.search.conftest import three_convolutions

pytest.importorskip("torch_geometric")
SEARCHED = {**QUICK, "stages.count": 2, "target": ("macs=40%",)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model that has enough channels."""
    return with_run(tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_comes_down_in_stages(agent: str, model: Path, samples: Path, tmp_path: Path) -> None:
    asked = options(model, samples, **{**SEARCHED, "search.agent": agent})
    run = start(asked, tmp_path / "run", [])
    compress(run)
    summary, groups = summary_of(run), find_groups(load_graph(model))
    assert [target["met"] for stage in summary["stages"] for target in stage["targets"]] == [True, True]
    first, last = (load_masks(run.path / f / "masks.json", groups) for f in ("stages/1", ""))
    assert all(not (last[name] & ~first[name]).any() for name in first)
    assert summary["search"]["agent"] == agent


@pytest.mark.parametrize(
    "network", [pytest.param("vision_transformer", marks=pytest.mark.slow), "encoder_gated"]
)
def test_a_transformer_comes_down_in_stages(network: str, exported_folder: Path, tmp_path: Path) -> None:
    """Without labels: judged by how near it comes to the original."""
    model = export_case(network, "dynamo", exported_folder)
    (value,) = load_graph(model).inputs
    shape = (48, *(value.dims or ())[1:])
    np.savez(tmp_path / "bare.npz", **{value.name: np.random.default_rng(0).normal(size=shape).astype("f4")})
    training = {"stages.count": 3, "stages.stage_epochs": 1, "distill.epochs": 1, "distill.batch": 8}
    asked = options(model, tmp_path / "bare.npz", **training, target=("macs=60%", "params=70%"))
    run = start(asked, tmp_path / "run", [])
    compress(run)
    summary = summary_of(run)
    assert all(target["met"] for target in summary["targets"])
    shares = [stage["cost"]["macs"] for stage in summary["stages"]]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == 3
