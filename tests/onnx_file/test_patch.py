"""Constants that a patch adds to a model, and where a model is told not to fit its extents."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.errors import ModelError
from onnxprune.onnx_file import load_graph
from onnxprune.onnx_file.patch import Patch
from onnxprune.pipeline import require_fitting
from tests.onnx_file.small_models import chain, parsed


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_an_added_constant_has_the_axes_of_its_array(tmp_path: Path, shape: tuple[int, ...]) -> None:
    onnx.save(chain(np.random.default_rng(0)), tmp_path / "m.onnx")
    patch = Patch.of(load_graph(tmp_path / "m.onnx"))
    patch.add("added", np.ones(shape, np.int64).T)
    assert tuple(patch.tensors["added"].dims) == shape[::-1]


def test_a_model_that_assumed_extents_do_not_fit_asks_for_its_shape(tmp_path: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        positions (float[B, H, past, D] x) => (float[Z, 4] y) {
            s = Shape<start = 2, end = 3>(x)
            y = Gather(table, s)
        }""",
        table=np.ones((8, 4), np.float32),
    )
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        require_fitting(load_graph(tmp_path / "m.onnx"))
    assert "--shape x:1," in (caught.value.hint or "")
