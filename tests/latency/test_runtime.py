"""ONNX Runtime itself measures: interleaved processor time, generous bounds, a model with something to do."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.errors import RuntimeProblem
from onnxprune.groups import Groups, find_groups
from onnxprune.latency import RuntimeWatch, TimedCostModel, WatchOptions, choose_confirmed, timed_model
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.target import Alignment, Constraints, parse_target, project
from tests.onnx_file.small_models import normal, parsed

CONSTRAINTS = Constraints(Alignment(16, 16))


@pytest.fixture
def wide(tmp_path: Path) -> Groups:
    """Three times Conv and Relu over 64 channels of 24 x 24 pixels: nearly all of its time is theirs."""
    rng = np.random.default_rng(0)
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        wide (float[N, 3, 24, 24] x) => (float[N, 5] y) {
            a = Conv<pads = [1, 1, 1, 1]>(x, a_w)
            b = Relu(a)
            c = Conv<pads = [1, 1, 1, 1]>(b, c_w)
            d = Relu(c)
            e = Conv<pads = [1, 1, 1, 1]>(d, e_w)
            f = Relu(e)
            p = GlobalAveragePool(f)
            g = Flatten(p)
            y = Gemm<transB = 1>(g, fc_w)
        }""",
        a_w=normal(rng, 64, 3, 3, 3),
        c_w=normal(rng, 64, 64, 3, 3),
        e_w=normal(rng, 64, 64, 3, 3),
        fc_w=normal(rng, 5, 64),
    )
    onnx.save(model, tmp_path / "wide.onnx")
    return find_groups(load_graph(tmp_path / "wide.onnx"))


def test_masks_for_a_latency_are_faster_when_they_run(wide: Groups, tmp_path: Path) -> None:
    options = WatchOptions(seconds=0.2, folder=tmp_path / "cache")
    target = parse_target(["latency=60%"])
    model = timed_model(wide, CONSTRAINTS, options)
    assert model.table.setting.provider == "CPUExecutionProvider"
    assert {times.name for times in model.table.segments} == {term.node for term in wide.findings.macs}

    def choose(cost_model: TimedCostModel) -> Masks:
        even = {g.name: -(np.arange(g.channels) + 0.5) / g.channels for g in wide.prunable}
        return project(even, cost_model, target=target, constraints=CONSTRAINTS)

    found = choose_confirmed(choose, model, target, RuntimeWatch(wide, options))
    assert found.confirmed.beside.ratio < 0.8
    assert found.confirmed.beside.provider == "CPUExecutionProvider"
    kept = [int(bits.sum()) for bits in found.masks.values()]
    assert 16 * len(kept) < sum(kept) < 64 * len(kept)


def test_a_provider_that_does_not_run_is_refused_where_it_is_required(wide: Groups) -> None:
    watch = RuntimeWatch(wide, WatchOptions("cuda", require=True))
    with pytest.raises(RuntimeProblem) as caught:
        watch.setting()
    assert caught.value.code == "E601"
