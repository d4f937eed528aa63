"""Constants that are given other values are sliced like the rest."""

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from tests.law.build import model, save

BODY = "c = Conv(x, w1, b1)\nr = Relu(c)\ny = Conv(r, w2, b2)"


def test_new_weights_are_sliced_as_the_old_ones_were(tmp_path: Path) -> None:
    made = model("float[N,3,5,5] x => float[N,4,3,3] y", BODY, w1=(8, 3, 1, 1), b1=8, w2=(4, 8, 3, 3), b2=4)
    groups = find_groups(load_graph(save(made, tmp_path)))
    (group,) = groups.prunable
    masks = {group.name: np.arange(8) % 2 == 0}
    changed = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer if t.name in ("w2", "b2")}
    changed = {name: 2 * array for name, array in changed.items()}
    plain = {t.name: numpy_helper.to_array(t) for t in prune(groups, masks).graph.initializer}
    found = prune(groups, masks, weights=changed)
    values = {t.name: numpy_helper.to_array(t) for t in found.graph.initializer}
    for name, old in plain.items():
        np.testing.assert_array_equal(values[name], 2 * old if name in changed else old)
    assert [t.name for t in found.graph.initializer] == [t.name for t in made.graph.initializer]
