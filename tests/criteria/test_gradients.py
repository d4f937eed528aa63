"""Criteria by gradients, against torch modules with the same weights and numbers worked out by hand."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onnxprune.converters.sensitivity import Probe
from onnxprune.criteria import CRITERIA, gradients, score
from onnxprune.data import Batch
from onnxprune.errors import DataError, RuntimeProblem, UnsupportedError
from onnxprune.groups import Groups
from tests.criteria.conftest import Build

BY_GRADIENTS = [name for name, criterion in CRITERIA.items() if criterion.needs_torch]
ROWS = 6
IMAGE = "float[N,3,5,5] x => float[N,4] y"
FOLDED = """
    c = Conv<pads=[1,1,1,1]>(x, w1, b1)
    r = Relu(c)
    p = GlobalAveragePool(r)
    f = Flatten(p)
    y = Gemm<transB=1>(f, fc, fcb)
"""
NORMALISED = FOLDED.replace("(x, w1, b1)", "(x, w1)\nn = BatchNormalization(c, s, b, m, var)").replace(
    "Relu(c)", "Relu(n)"
)
SIZES = {"w1": (8, 3, 3, 3), "b1": 8, "fc": (4, 8), "fcb": 4}
NORM_SIZES = {"w1": (8, 3, 3, 3), "s": 8, "b": 8, "m": 8, "var": 8, "fc": (4, 8), "fcb": 4}
LINEAR = "float[N,4] x => float[N,3] y", "a = MatMul(x, w)\ny = MatMul(a, v)"
Floats = NDArray[Any]


def samples(seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch({"x": rng.standard_normal((ROWS, 3, 5, 5)).astype(np.float32)}, rng.integers(0, 4, ROWS))


def tensors_of(groups: Groups) -> dict[str, Tensor]:
    arrays = {name: np.array(i.array()) for name, i in groups.graph.initializers.items()}
    return {name: torch.tensor(array, dtype=torch.float64).requires_grad_() for name, array in arrays.items()}


def network(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """What FOLDED and NORMALISED compute."""
    c = functional.conv2d(x, w["w1"], w.get("b1"), padding=1)
    if "s" in w:
        c = functional.batch_norm(c, w["m"].detach(), w["var"].detach(), w["s"], w["b"])
    return functional.linear(functional.relu(c).mean((2, 3)), w["fc"], w["fcb"])


def per_sample(groups: Groups, batch: Batch) -> list[dict[str, Floats]]:
    """For each row w * dL/dw of every weight."""
    weights = tensors_of(groups)
    trained = {name: w for name, w in weights.items() if name not in ("m", "var")}
    found = []
    for row in range(ROWS):
        x, label = (torch.tensor(array[row : row + 1]) for array in (batch.inputs["x"], batch.labels))
        loss = functional.cross_entropy(network(weights, x.double()), label)
        grads = torch.autograd.grad(loss, list(trained.values()))
        found.append({n: (w * g).detach().numpy() for (n, w), g in zip(trained.items(), grads, strict=True)})
    return found


def coupled(products: dict[str, Floats], function: Callable[[Floats], Floats]) -> Floats:
    """(8,) the sum over all sites of each channel of the one group."""
    own = [name for name in ("w1", "b1", "s", "b") if name in products]
    total = sum(function(products[name]).reshape(8, -1).sum(1) for name in own)
    return np.asarray(total + function(products["fc"]).sum(0))


@pytest.fixture(params=["folded", "normalised"])
def groups(request: pytest.FixtureRequest, groups_of: Build) -> Groups:
    body, sizes = {"folded": (FOLDED, SIZES), "normalised": (NORMALISED, NORM_SIZES)}[request.param]
    return groups_of(IMAGE, body, **sizes)


def mean_of(rows: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]}


def test_taylor_adds_up_the_size_of_w_times_its_gradient_over_all_coupled_sites(groups: Groups) -> None:
    (found,) = score(groups, "taylor", feeds=[samples()]).values()
    expected = coupled(mean_of(per_sample(groups, samples())), np.abs)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_taylor_sum_is_the_size_of_what_they_add_up_to(groups: Groups) -> None:
    (found,) = score(groups, "taylor-sum", feeds=[samples()]).values()
    expected = np.abs(coupled(mean_of(per_sample(groups, samples())), lambda x: x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_hessian_is_w_squared_times_the_mean_square_gradient_of_a_sample(groups: Groups) -> None:
    (found,) = score(groups, "hessian", feeds=[samples()]).values()
    rows = [{name: np.square(p) for name, p in row.items()} for row in per_sample(groups, samples())]
    np.testing.assert_allclose(found, coupled(mean_of(rows), lambda x: x), rtol=1e-4)


def test_bn_gate_is_the_mean_square_of_gamma_and_beta_times_their_gradients(groups_of: Build) -> None:
    groups = groups_of(IMAGE, NORMALISED, **NORM_SIZES)
    (found,) = score(groups, "bn-gate", feeds=[samples()]).values()
    expected = np.mean([np.square(row["s"] + row["b"]) for row in per_sample(groups, samples())], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_bn_gate_is_the_same_where_export_has_folded_the_normalisation(groups_of: Build) -> None:
    groups = groups_of(IMAGE, NORMALISED, **NORM_SIZES)
    arrays = {name: np.array(i.array(), np.float64) for name, i in groups.graph.initializers.items()}
    gain = arrays["s"] / np.sqrt(arrays["var"] + 1e-5)
    weights = {
        "w1": (arrays["w1"] * gain[:, None, None, None]).astype(np.float32),
        "b1": (arrays["b"] - arrays["m"] * gain).astype(np.float32),
        "fc": np.array(groups.graph.initializers["fc"].array()),
        "fcb": np.array(groups.graph.initializers["fcb"].array()),
    }
    folded = groups_of(IMAGE, FOLDED, **weights)
    for batch in (samples(), samples().inputs):
        (there,), (gone,) = (score(g, "bn-gate", feeds=[batch]).values() for g in (groups, folded))
        np.testing.assert_allclose(gone, there, rtol=1e-3)


def test_a_channel_behind_two_normalisations_takes_the_mean_of_their_gates(groups_of: Build) -> None:
    body = NORMALISED.replace(
        "r = Relu(n)", "d = Conv<group=8>(n, dw)\nk = BatchNormalization(d, s2, b2, m2, var2)\nr = Relu(k)"
    )
    second = {"dw": (8, 1, 1, 1), "s2": 8, "b2": 8, "m2": 8, "var2": 8}
    groups = groups_of(IMAGE, body, **NORM_SIZES, **second)
    both = score(groups, "bn-gate", feeds=[samples()])
    gates = gradients.gates_of(groups)
    assert [gate.value for gate in gates] == ["n", "k"]
    probe = Probe(groups.graph, gates=["n", "k"])
    squares = []
    for row in range(ROWS):
        one = samples().rows(slice(row, row + 1))
        answer = probe(one.inputs, one.labels)
        squares.append([np.square(answer.gates[name].sum((0, 2, 3))) for name in ("n", "k")])
    np.testing.assert_allclose(next(iter(both.values())), np.mean(squares, axis=(0, 1)), rtol=1e-4)


def test_scores_of_a_module_and_of_its_export_are_the_same(groups_of: Build) -> None:
    """The oracle is a torch module that knows nothing of ONNX: gradients by its own parameters."""
    groups = groups_of(IMAGE, FOLDED, **SIZES)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    names = ("w1", "b1", "fc", "fcb")
    for parameter, name in zip(module.parameters(), names, strict=True):
        parameter.data.copy_(torch.from_numpy(np.array(groups.graph.initializers[name].array())))
    batch = samples()
    assert batch.labels is not None
    loss = functional.cross_entropy(
        module(torch.from_numpy(batch.inputs["x"])), torch.from_numpy(batch.labels)
    )
    loss.backward()
    sizes = [(p.grad * p).abs().detach().numpy() for p in module.parameters() if p.grad is not None]
    expected = sizes[0].sum((1, 2, 3)) + sizes[1] + sizes[2].sum(0)
    (found,) = score(groups, "taylor", feeds=[batch]).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_without_labels_hessian_is_half_the_curvature_of_the_distance_to_the_own_outputs(
    groups_of: Build,
) -> None:
    """A linear model, f = V W x: the curvature is known exactly, and drawn directions average to it."""
    groups = groups_of(
        "float[N,4] x => float[N,3] y", "a = MatMul(x, w)\ny = MatMul(a, v)", w=(4, 5), v=(5, 3)
    )
    x = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
    (found,) = score(groups, "hessian", feeds=[{"x": np.repeat(x, 4000, axis=0)}]).values()
    w, v = (np.array(groups.graph.initializers[name].array(), np.float64) for name in ("w", "v"))
    outputs = x[0] @ w @ v
    by_w = np.square(x[0])[:, None] * np.square(v).sum(1)[None]  # sum over outputs of (dy/dw)^2
    by_v = np.square(x[0] @ w)[:, None] * np.ones((1, 3))
    expected = ((w**2 * by_w).sum(0) + (v**2 * by_v).sum(1)) / np.square(outputs).sum()
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_without_labels_taylor_asks_how_much_of_the_outputs_hangs_on_a_weight(groups_of: Build) -> None:
    groups = groups_of(
        "float[N,4] x => float[N,3] y", "a = MatMul(x, w)\ny = MatMul(a, v)", w=(4, 5), v=(5, 3)
    )
    x = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
    (found,) = score(groups, "taylor-sum", feeds=[{"x": x}]).values()
    w, v = (np.array(groups.graph.initializers[name].array(), np.float64) for name in ("w", "v"))
    inner, outputs = x[0] @ w, x[0] @ w @ v
    expected = 2 * np.abs(inner * (v @ outputs)) / np.square(outputs).sum()  # once by w, once by v
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_scores_before_a_softmax_are_looked_at(groups_of: Build) -> None:
    plain = groups_of(IMAGE, FOLDED, **SIZES)
    ended = groups_of(IMAGE, FOLDED.replace("y = Gemm", "z = Gemm") + "y = Softmax(z)", **SIZES)
    for batch in (samples(), samples().inputs):
        (with_it,), (without,) = (score(g, "taylor", feeds=[batch]).values() for g in (ended, plain))
        np.testing.assert_allclose(with_it, without, rtol=1e-5)


def test_labels_change_what_is_asked(groups: Groups) -> None:
    for criterion in BY_GRADIENTS:
        (labelled,) = score(groups, criterion, feeds=[samples()]).values()
        (alone,) = score(groups, criterion, feeds=[samples().inputs]).values()
        assert not np.allclose(labelled, alone, rtol=0.01)


def test_labels_that_are_no_classes_do_not_count(groups: Groups) -> None:
    batch = samples()
    (alone,) = score(groups, "taylor", feeds=[batch.inputs]).values()
    (odd,) = score(groups, "taylor", feeds=[Batch(batch.inputs, np.linspace(0, 1, ROWS))]).values()
    np.testing.assert_array_equal(odd, alone)


def test_a_label_beyond_the_classes_is_an_error(groups: Groups) -> None:
    with pytest.raises(DataError, match="labels 4 to 4 for a model of 4 classes") as caught:
        score(groups, "hessian", feeds=[Batch(samples().inputs, np.full(ROWS, 4))])
    assert caught.value.code == "E507"


@pytest.mark.parametrize(
    ("criterion", "power"), [("taylor", 1), ("taylor-sum", 1), ("hessian", 2), ("bn-gate", 2)]
)
def test_a_loss_twice_as_steep_scales_the_scores_by_its_power(
    criterion: str, power: int, groups_of: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = groups_of(IMAGE, FOLDED, **SIZES)
    (once,) = score(groups, criterion, feeds=[samples()]).values()
    plain = Probe.loss
    monkeypatch.setattr(Probe, "loss", lambda *given: 2 * plain(*given))
    (twice,) = score(groups, criterion, feeds=[samples()]).values()
    np.testing.assert_allclose(twice, once * 2**power, rtol=1e-5)


@pytest.mark.parametrize("criterion", BY_GRADIENTS)
def test_scores_do_not_change_where_a_filter_grows_and_its_reader_shrinks(
    criterion: str, groups_of: Build
) -> None:
    """Behind a ReLU the function is the same, and so is w * dL/dw; magnitude would be misled."""
    groups = groups_of(IMAGE, FOLDED, **SIZES)
    arrays = {name: np.array(i.array()) for name, i in groups.graph.initializers.items()}
    factor = np.linspace(0.5, 4, 8, dtype=np.float32)
    scaled = groups_of(
        IMAGE,
        FOLDED,
        w1=arrays["w1"] * factor[:, None, None, None],
        b1=arrays["b1"] * factor,
        fc=arrays["fc"] / factor,
        fcb=arrays["fcb"],
    )
    for batch in (samples(), samples().inputs):
        (before,), (after,) = (score(g, criterion, feeds=[batch]).values() for g in (groups, scaled))
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-7)


def test_quantised_weights_count_from_their_zero_point(groups_of: Build) -> None:
    rng = np.random.default_rng(0)
    stored, zero, scale = rng.integers(60, 200, (8, 3, 3, 3)).astype(np.uint8), 120, np.float32(0.02)
    body = "w1 = DequantizeLinear(q, qs, qz)\n" + FOLDED
    rest = {name: size for name, size in SIZES.items() if name != "w1"}
    quantised = groups_of(IMAGE, body, q=stored, qs=np.array(scale), qz=np.array(zero, np.uint8), **rest)
    others = {name: np.array(quantised.graph.initializers[name].array()) for name in rest}
    plain = groups_of(IMAGE, FOLDED, w1=((stored.astype(np.float32) - zero) * scale), **others)
    for criterion in ("taylor", "taylor-sum", "hessian"):
        (found,), (expected,) = (score(g, criterion, feeds=[samples()]).values() for g in (quantised, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("criterion", BY_GRADIENTS)
def test_a_batch_that_is_built_in_is_no_obstacle(criterion: str, groups_of: Build) -> None:
    reshaped = FOLDED.replace("f = Flatten(p)", "f = Reshape(p, to)")
    built_in = groups_of(IMAGE, reshaped, to=np.array([1, 8]), **SIZES)
    weights = {name: np.array(built_in.graph.initializers[name].array()) for name in SIZES}
    free = groups_of(IMAGE, FOLDED, **weights)
    (found,), (expected,) = (score(g, criterion, feeds=[samples()]).values() for g in (built_in, free))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_operator_that_cannot_be_trained_is_an_error_that_names_it(groups_of: Build) -> None:
    body = FOLDED.replace("f = Flatten(p)", "k = local.Odd(p)\nf = Flatten(p)")
    groups = groups_of(IMAGE, body, **SIZES)
    for criterion in BY_GRADIENTS:
        with pytest.raises(UnsupportedError, match="Odd") as caught:
            score(groups, criterion, feeds=[samples()])
        assert caught.value.code == "E406"


def test_torch_is_asked_for_where_it_is_missing(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeProblem, match="needs torch") as caught:
        score(groups, "hessian", feeds=[samples()])
    assert caught.value.code == "E603"


def test_inputs_that_do_not_fit_are_an_error_of_the_data(groups: Groups) -> None:
    with pytest.raises(DataError, match="does not take the calibration inputs") as caught:
        score(groups, "taylor", feeds=[{"x": np.zeros((1, 5, 5, 3), np.float32)}])
    assert caught.value.code == "E503"


def test_gradients_that_are_not_numbers_are_an_error(groups_of: Build) -> None:
    w1 = np.full((8, 3, 3, 3), np.inf, np.float32)
    with pytest.raises(DataError, match="not finite"):
        score(groups_of(IMAGE, FOLDED, **SIZES | {"w1": w1}), "taylor", feeds=[samples()])
