"""A search on a model that is no CNN: an exported vision transformer and an MLP mixer."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.groups import find_groups
from onnxprune.masks import load_masks
from onnxprune.onnx_file import load_graph
from onnxprune.search import search, start, summary_of
from tests.search.conftest import options

pytest.importorskip("torch")
ROWS = 320


@pytest.fixture(scope="module", params=["vision_transformer", pytest.param("mixer", marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model and samples without labels."""
    from tests.exported import SHAPES, export_case

    folder = tmp_path_factory.mktemp("kinds")
    name = request.param
    rows = np.random.default_rng(0).standard_normal((ROWS, *SHAPES[name])).astype(np.float32)
    np.savez(folder / "rows.npz", input=rows)
    return export_case(name, "torchscript", folder), folder / "rows.npz"


def best_of(agent: str, exported: tuple[Path, Path], folder: Path) -> float:
    """Minus the mean squared error of the best on the reward rows; what is written meets the target."""
    model, rows = exported
    chosen = options(
        model,
        rows,
        agent=agent,
        evaluations=48,
        batch=8,
        target=("macs=60%",),
        evaluate__metric="mse",
        evaluate__calibration_rows=128,
    )
    run = start(chosen, folder, [])
    search(run)
    found = summary_of(run)
    assert [target["met"] for target in found["targets"]] == [True]
    load_masks(run.path / "masks.json", find_groups(load_graph(model)))
    return float(-min(one["reward"] for one in found["finalists"]))


def test_a_search_meets_its_target_and_beats_random(exported: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    assert best_of("gat-ppo", exported, tmp_path / "a") > best_of("random", exported, tmp_path / "b")
