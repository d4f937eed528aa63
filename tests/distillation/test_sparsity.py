"""Penalties and their gradients against loops over channels, what becomes zero, and runs that continue."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from onnxprune.converters import OnnxModule, to_torch
from onnxprune.converters.batch_norm import fold_batch_norm, insert_batch_norm
from onnxprune.criteria.magnitude import group_l2
from onnxprune.criteria.options import Options
from onnxprune.data.samples import Array
from onnxprune.distillation import Hooks, Stopped, distill
from onnxprune.distillation.optimizer import make_optimizer
from onnxprune.distillation.options import check_options
from onnxprune.distillation.sites import lowest, sites_of, trained_members
from onnxprune.distillation.sparsity import GrowingPenalty, Sparsity, make_sparsity
from onnxprune.errors import UnsupportedError, UsageError
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import all_true
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.pruning import prune
from tests.distillation.small_pair import QUICK, arrays, graph_of, images, make_data, make_pair, stop_after
from tests.exported import export_case
from tests.onnx_file.small_models import normal, parsed

METHODS = ("group-lasso", "greg", "greg-2", "sfp", "slimming")
RESIDUAL = """<ir_version: 8, opset_import: ["" : 17]>
    residual (float[N, 2, 2, 2] x) => (float[N, 3] y) {
        a = Conv(x, w0)
        r = Relu(a)
        c = Conv(r, w1)
        n = BatchNormalization(c, scale, shift, mean, variance)
        t = Relu(n)
        d = Conv(t, w2, b2)
        e = Add(d, r)
        f = Flatten(e)
        y = Gemm<transB = 1>(f, fc, fc_b)
    }"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    rng = np.random.default_rng(0)
    model = parsed(
        RESIDUAL,
        w0=normal(rng, 6, 2, 1, 1),
        w1=normal(rng, 4, 6, 1, 1),
        scale=normal(rng, 4),
        shift=normal(rng, 4),
        mean=normal(rng, 4),
        variance=np.ones(4, np.float32),
        w2=normal(rng, 6, 4, 1, 1),
        b2=normal(rng, 6),
        fc=normal(rng, 3, 24),
        fc_b=normal(rng, 3),
    )
    return graph_of(model, tmp_path / "residual.onnx")


def slices(a: dict[str, Array]) -> dict[str, list[list[Array]]]:
    """By hand: of each channel of both groups the slices that it consists of, as views."""
    outer = [
        [a["w0"][k], a["w1"][:, k], a["w2"][k], a["b2"][k : k + 1], a["fc"][:, 4 * k : 4 * k + 4]]
        for k in range(6)
    ]
    inner = [[a["w1"][k], a["scale"][k : k + 1], a["shift"][k : k + 1], a["w2"][:, k]] for k in range(4)]
    return {"outer": outer, "inner": inner}


def norms(channels: list[list[Array]]) -> Array:
    return np.array([np.sqrt(sum((part.astype(float) ** 2).sum() for part in parts)) for parts in channels])


def weights(module: OnnxModule) -> dict[str, Array]:
    return {name: value.detach().numpy().copy() for name, value in module.weights()}


def made(graph: Graph, steps: int = 100, **options: object) -> tuple[OnnxModule, Sparsity]:
    module = to_torch(graph)
    return module, make_sparsity(find_groups(graph), module, replace(QUICK, **options), steps=steps)


def check_gradient(module: OnnxModule, sparsity: Sparsity, value: float, factors: dict[str, Array]) -> None:
    """The penalty is `value`, and its gradient a factor for each channel times its slices."""
    penalty = sparsity.penalty(module)
    assert penalty.item() == pytest.approx(value, rel=1e-5)
    penalty.backward()
    values = weights(module)
    gradient = {name: np.zeros_like(value) for name, value in values.items()}
    for name, channels in slices(gradient).items():
        for k, parts in enumerate(channels):
            for into, weight in zip(parts, slices(values)[name][k], strict=True):
                into += factors[name][k] * weight
    for name, weight in module.weights():
        got = np.zeros_like(values[name]) if weight.grad is None else weight.grad.numpy()
        np.testing.assert_allclose(got, gradient[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_group_lasso_pulls_every_coupled_slice_and_small_channels_most(graph: Graph) -> None:
    module, sparsity = made(graph, sparsity="group-lasso", sparsity_strength=0.3)
    value, factors = 0.0, {}
    for name, channels in slices(weights(module)).items():
        sizes = norms(channels)
        factors[name] = 0.3 * 2 ** (4 * (sizes.max() - sizes) / (sizes.max() - sizes.min()))
        assert factors[name].max() == pytest.approx(16 * factors[name].min())
        value += 0.5 * (factors[name] * sizes**2).sum()
    check_gradient(module, sparsity, value, factors)


def test_group_lasso_takes_the_place_of_weight_decay(graph: Graph) -> None:
    options = replace(QUICK, sparsity="group-lasso")
    assert [g["weight_decay"] for g in make_optimizer(to_torch(graph), options).param_groups] == [0, 0]
    assert (options.strength, replace(options, sparsity="slimming").strength) == (5e-4, 1e-4)


def test_channels_of_one_size_are_pulled_alike(graph: Graph) -> None:
    module, sparsity = made(graph, sparsity="group-lasso")
    with torch.no_grad():
        for _, weight in module.weights():
            weight.fill_(1)
    penalty = sparsity.penalty(module)
    penalty.backward()
    assert penalty.item() == pytest.approx(
        0.5 * 5e-4 * (6 * (2 + 4 + 4 + 1 + 12) + 4 * (6 + 2 + 6)), rel=1e-5
    )
    assert all(bool(torch.isfinite(w.grad).all()) for _, w in module.weights() if w.grad is not None)


def l1_lowest(a: dict[str, Array]) -> dict[str, Array]:
    """By hand: the half of the channels whose producers have the lowest l1 norm."""
    sums = {
        "outer": np.abs(a["w0"]).sum((1, 2, 3)) + np.abs(a["w2"]).sum((1, 2, 3)),
        "inner": np.abs(a["w1"]).sum((1, 2, 3)),
    }
    return {name: np.isin(np.arange(len(s)), np.argsort(s)[: len(s) // 2]) for name, s in sums.items()}


def test_the_growing_penalty_grows_on_the_smallest_channels_to_its_ceiling(graph: Graph) -> None:
    module, sparsity = made(
        graph, sparsity="greg", sparsity_strength=0.1, sparsity_every=3, sparsity_ceiling=0.25
    )
    chosen = l1_lowest(weights(module))
    assert sparsity.penalty(module).item() == 0
    for steps, height in ((2, 0.0), (1, 0.1), (3, 0.2), (9, 0.25)):
        for _ in range(steps):
            sparsity.after_step(module)
        factors = {name: height * bits for name, bits in chosen.items()}
        parts = slices(weights(module))
        module.zero_grad()
        value = sum(0.5 * (factors[name] * norms(channels) ** 2).sum() for name, channels in parts.items())
        check_gradient(module, sparsity, value, factors)


def test_the_second_form_grows_on_all_channels_before_it_picks(graph: Graph) -> None:
    module, sparsity = made(graph, sparsity="greg-2", sparsity_strength=0.02, sparsity_every=1)
    assert isinstance(sparsity, GrowingPenalty)
    for step in range(1, 5):
        sparsity.after_step(module)
        assert sparsity.chosen is None
        assert sparsity.factors.tolist() == pytest.approx([0.002 * step] * 10)
    with torch.no_grad():  # what withstands the penalty least is chosen, not what was smallest at the start
        for name in ("w0", "w1", "w2"):
            module.tensor(name).copy_(module.tensor(name).flip(0))
    sparsity.after_step(module)
    assert sparsity.chosen is not None
    expected = l1_lowest(weights(module))
    assert sparsity.chosen.tolist() == [*expected["outer"], *expected["inner"]]
    sparsity.after_step(module)
    heights = torch.where(sparsity.chosen, 0.03, 0.0)
    torch.testing.assert_close(sparsity.factors, heights)


@pytest.mark.parametrize("method", ["greg", "greg-2"])
def test_without_a_growth_the_ceiling_is_reached_after_two_thirds_of_the_run(
    method: str, graph: Graph
) -> None:
    module, sparsity = made(graph, steps=600, sparsity=method, sparsity_every=2, sparsity_ceiling=0.5)
    assert isinstance(sparsity, GrowingPenalty)
    heights = []
    for _ in range(600):
        sparsity.after_step(module)
        heights.append(float(sparsity.factors.max()))
    assert heights.index(max(heights)) == pytest.approx(400, abs=8)
    assert max(heights) == pytest.approx(0.5)


def test_slimming_is_the_l1_norm_of_the_scales(graph: Graph) -> None:
    module, sparsity = made(graph, sparsity="slimming", sparsity_strength=0.5)
    scale = weights(module)["scale"]
    penalty = sparsity.penalty(module)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.5 * np.abs(scale).sum(), rel=1e-6)
    np.testing.assert_allclose(module.tensor("scale").grad, 0.5 * np.sign(scale))
    assert [name for name, weight in module.weights() if weight.grad is not None] == ["scale"]


FOLDED = """<ir_version: 8, opset_import: ["" : 17]>
    folded (float[N, 3, 8, 8] x) => (float[N, 6, 8, 8] y) {
        c = Conv(x, w, b)
        r = Relu(c)
        y = Conv(r, w2)
    }"""


def folded(folder: Path) -> Graph:
    rng = np.random.default_rng(0)
    model = parsed(FOLDED, w=normal(rng, 4, 3, 1, 1), b=normal(rng, 4), w2=normal(rng, 6, 4, 1, 1))
    return graph_of(model, folder / "folded.onnx")


def test_slimming_without_batch_normalisation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"slimming needs BatchNormalization, and in folded\.onnx"
    ) as caught:
        made(folded(tmp_path), sparsity="slimming")
    assert caught.value.code == "E403"
    assert "group-lasso" in caught.value.hint


def test_batch_normalisation_that_was_put_back_is_part_of_the_channel(tmp_path: Path) -> None:
    graph = folded(tmp_path)
    module = to_torch(graph)
    inserted = insert_batch_norm(module, [(torch.from_numpy(images()),)])
    slim, soft = (
        make_sparsity(find_groups(graph), module, replace(QUICK, sparsity=method, sparsity_keep=0.5), steps=1)
        for method in ("slimming", "sfp")
    )
    expected = 1e-4 * module.tensor("c·scale").abs().sum().item()
    assert slim.penalty(module).item() == pytest.approx(expected, rel=1e-6)
    soft.after_epoch(module, last=True)
    fold_batch_norm(module, inserted)
    zero = [
        (module.tensor("w") == 0).all((1, 2, 3)),
        module.tensor("b") == 0,
        (module.tensor("w2") == 0).all((0, 2, 3)),
    ]
    assert all(int(bits.sum()) == 2 for bits in zero)
    assert all(bits.tolist() == zero[0].tolist() for bits in zero)


def test_slimming_shrinks_the_filters_of_a_model_whose_batch_normalisation_was_folded(tmp_path: Path) -> None:
    graph = folded(tmp_path)
    options = replace(QUICK, sparsity="slimming", sparsity_strength=0.1, batch=16)
    result = distill(graph, graph, make_data(labelled=False), options, run=tmp_path / "run")
    before, after = (np.abs(arrays(path)["w"]).sum((1, 2, 3)) for path in (graph.path, result.path))
    assert (after < before).all()


def test_soft_pruning_sets_exactly_the_share_to_zero_and_lets_it_train(graph: Graph) -> None:
    module, sparsity = made(graph, sparsity="sfp", sparsity_keep=0.7)
    before = weights(module)
    sparsity.after_epoch(module, last=False)
    after = weights(module)
    sizes = {
        "outer": (before["w0"] ** 2).sum((1, 2, 3)) + (before["w2"] ** 2).sum((1, 2, 3)),
        "inner": (before["w1"] ** 2).sum((1, 2, 3)),
    }
    for name, tensors, count in (("outer", ("w0", "w2"), 1), ("inner", ("w1",), 1)):
        zeroed = np.argsort(sizes[name])[:count]  # 30 % of 6 and of 4, rounded down
        for tensor in tensors:
            before[tensor][zeroed] = 0
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert all(weight.requires_grad for _, weight in module.weights())
    sparsity.after_epoch(module, last=True)
    gone = {name: [not any(p.any() for p in c) for c in cs] for name, cs in slices(weights(module)).items()}
    assert {name: sum(bits) for name, bits in gone.items()} == {"outer": 1, "inner": 1}


@pytest.mark.parametrize("name", ["depthwise_multiplier", "densenet", "vision_transformer", "lstm_both_ways"])
def test_sums_over_channels_are_those_of_the_criterion(name: str, exported_folder: Path) -> None:
    groups = find_groups(load_graph(export_case(name, "torchscript_bn", exported_folder)))
    module = to_torch(groups.graph)
    sums = sites_of(groups, module, trained_members(groups, module)).sums(module, torch.square)
    expected = np.concatenate(list(group_l2(groups, Options()).values()))
    np.testing.assert_allclose(sums.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_lowest_are_chosen_group_by_group_and_never_all_of_one() -> None:
    group = torch.tensor([1, 0, 1, 0, 1, 2, 1, 3, 3])
    scores = torch.tensor([4.0, 1.0, 3.0, 0.0, 2.0, 5.0, 1.0, 7.0, 7.0])
    assert lowest(scores, group, 0.5).nonzero().flatten().tolist() == [3, 4, 6, 7]
    assert lowest(scores, group, 0.0).logical_not().nonzero().flatten().tolist() == [0, 1, 5, 8]
    assert not lowest(scores, group, 1.0).any()
    assert int(lowest(torch.rand(10), torch.zeros(10, dtype=torch.int64), 0.7).sum()) == 3


def zero_channels(groups: Groups, values: dict[str, Array], tolerance: float) -> dict[str, Array]:
    """Masks: False where every slice of a channel that is trained lies within the tolerance."""
    masks = all_true(groups)
    statistics = ("mean", "variance")
    for group in groups.prunable:
        largest = [
            np.abs(np.moveaxis(values[m.tensor], m.axis, 0)[m.positions]).reshape(group.channels, -1).max(1)
            for m in group.members
            if m.tensor not in statistics
        ]
        masks[group.name] = np.max(largest, axis=0) > tolerance
    return masks


def outputs(model: onnx.ModelProto) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": images(8)})[0])


def test_what_soft_pruning_left_at_zero_is_removed_without_a_change(tmp_path: Path) -> None:
    teacher, _ = make_pair(tmp_path)
    options = replace(QUICK, sparsity="sfp", epochs=2)
    result = distill(teacher, teacher, make_data(), options, run=tmp_path / "run")
    assert result.best_epoch == 2
    student = graph_of(onnx.load(result.path), tmp_path / "sparse.onnx")
    groups = find_groups(student)
    masks = zero_channels(groups, arrays(result.path), 0.0)
    assert {name: int(bits.sum()) for name, bits in masks.items()} == {"g00": 4, "g02": 3}
    before, after = onnx.load(teacher.path), onnx.load(result.path)
    assert [n.SerializeToString() for n in before.graph.node] == [
        n.SerializeToString() for n in after.graph.node
    ]
    np.testing.assert_allclose(outputs(prune(groups, masks)), outputs(after), atol=1e-6)


def test_the_growing_penalty_makes_all_slices_of_a_channel_small(tmp_path: Path) -> None:
    teacher, _ = make_pair(tmp_path)
    options = replace(
        QUICK, sparsity="greg", epochs=8, sparsity_every=1, sparsity_ceiling=2.0, sparsity_keep=0.25
    )
    result = distill(teacher, teacher, make_data(), options, run=tmp_path / "run")
    masks = zero_channels(find_groups(teacher), arrays(result.path), 0.05)
    assert {name: int(bits.sum()) for name, bits in masks.items()} == {"g00": 2, "g02": 2}


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_gives_the_same_bits(method: str, tmp_path: Path) -> None:
    teacher, _ = make_pair(tmp_path)
    options = replace(QUICK, sparsity=method, sparsity_every=2, epochs=2)
    whole = distill(teacher, teacher, make_data(), options, run=tmp_path / "whole")
    for looks in (3, 4):
        hooks = Hooks(stop=stop_after(looks))
        with pytest.raises(Stopped):
            distill(teacher, teacher, make_data(), options, run=tmp_path / "parts", hooks=hooks)
    parts = distill(teacher, teacher, make_data(), options, run=tmp_path / "parts")
    assert parts.path.read_bytes() == whole.path.read_bytes()
    assert parts.best_epoch == whole.best_epoch == 2
    with pytest.raises(UsageError, match="another --sparsity"):
        distill(teacher, teacher, make_data(), replace(options, sparsity="none"), run=tmp_path / "parts")


def test_mixed_precision_leaves_the_penalty_in_full_precision(tmp_path: Path) -> None:
    teacher, _ = make_pair(tmp_path)
    options = replace(
        QUICK, sparsity="group-lasso", sparsity_strength=0.05, precision="bf16", accumulate=2, epochs=1
    )
    result = distill(teacher, teacher, make_data(), options, run=tmp_path / "run")
    before, after = arrays(teacher.path), arrays(result.path)
    assert np.abs(after["conv_w"]).sum() < np.abs(before["conv_w"]).sum()
    assert result.best_epoch == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sparsity": "l0"}, "--sparsity 'l0': there are none, group-lasso, greg, greg-2, sfp, slimming"),
        ({"sparsity": "sfp", "sparsity_keep": 1.5}, r"--sparsity-keep 1.5: must be in \[0, 1\]"),
        ({"sparsity": "sfp", "patience": 3}, "--patience ends at the best score"),
    ],
)
def test_options_out_of_range_are_refused(changed: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_options(replace(QUICK, **changed))


def test_a_model_whose_channels_must_all_stay_is_refused(tmp_path: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        single (float[N, 3, 8, 8] x) => (float[N, 4, 8, 8] y) { y = Conv(x, w) }""",
        w=normal(np.random.default_rng(0), 4, 3, 1, 1),
    )
    with pytest.raises(UnsupportedError, match="no channels that could be removed") as caught:
        made(graph_of(model, tmp_path / "single.onnx"), sparsity="group-lasso")
    assert caught.value.code == "E402"
