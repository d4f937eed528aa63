"""Damaged files: a clear error or a result, never another exception, never a changed input file.

`STAGES` names how far each damaged file is taken; a stage is one line to add.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from onnxprune.cost import CostModel
from onnxprune.errors import ModelError, OnnxPruneError
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph, read_model, save_model
from onnxprune.pipeline import PruneOptions, prune_file
from onnxprune.pruning import prune
from onnxprune.target import parse_target
from tests.onnx_file.damage import DAMAGES, damaged_copies
from tests.onnx_file.small_models import BUILDERS

SEED = 20


def save_again(path: Path) -> None:
    save_model(read_model(path), path.with_name("out.onnx"), source=path, force=True)


def prune_half(path: Path) -> None:
    groups = find_groups(load_graph(path))
    masks = {g.name: np.arange(g.channels) >= g.channels // 2 for g in groups if g.frozen is None}
    CostModel(groups).count(masks)
    prune(groups, masks)


def prune_and_prove(path: Path) -> None:
    prune_file(path, path.with_name("out.onnx"), PruneOptions(parse_target(["macs=70%"])), force=True)


# (what is done with the file, how many damaged copies of each model, what it may raise)
STAGES: dict[str, tuple[Callable[[Path], object], int, type[OnnxPruneError]]] = {
    "read": (read_model, 160, ModelError),
    "save": (save_again, 80, ModelError),
    "analyse": (lambda path: find_groups(load_graph(path)), 160, OnnxPruneError),
    "prune": (prune_half, 80, OnnxPruneError),
    "prove": (prune_and_prove, 24, OnnxPruneError),
}


def outcome(stage: Callable[[Path], object], path: Path, allowed: type[OnnxPruneError]) -> str:
    """The code of the error, "ok", or what else was raised."""
    try:
        stage(path)
    except allowed as error:
        return error.code
    except Exception as error:  # noqa: BLE001  the very thing that is looked for
        return f"{type(error).__name__}: {error}"
    return "ok"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged weights are NaN and infinite
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("build", BUILDERS)
def test_damage_ends_in_a_result_or_in_a_clear_error(build, stage, tmp_path):
    run, count, allowed = STAGES[stage]
    path = tmp_path / "m.onnx"
    found: dict[str, str] = {}
    for name, content in damaged_copies(
        build(np.random.default_rng(0)).SerializeToString(), count, seed=SEED
    ):
        path.write_bytes(content)
        found[name] = outcome(run, path, allowed)
        assert path.read_bytes() == content, f"{name} was changed"
    surprises = {name: what for name, what in found.items() if what != "ok" and not is_code(what)}
    assert not surprises
    assert {"ok", "E304"} <= set(found.values()) | {"ok"}


def is_code(what: str) -> bool:
    return len(what) == 4 and what[0] == "E" and what[1:].isdigit()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_repeats_and_changes_something(damage):
    content = BUILDERS[0](np.random.default_rng(0)).SerializeToString()
    copies = [damage(content, np.random.default_rng(3)) for _ in range(2)]
    assert copies[0] == copies[1]
    assert any(damage(content, np.random.default_rng(seed)) != content for seed in range(9))


def test_no_truncated_file_is_taken_for_a_model_unless_protobuf_ends_there(tmp_path):
    """Every single length; behind the last opset a file may end anywhere between two fields."""
    content = BUILDERS[3](np.random.default_rng(0)).SerializeToString()
    path = tmp_path / "m.onnx"
    for length in range(1, len(content)):
        path.write_bytes(content[:length])
        found = outcome(read_model, path, ModelError)
        assert found in ("E303", "E304", "E305", "ok")
        if found == "ok":
            assert len(ModelProto.FromString(content[:length]).opset_import) > 0
