"""What kept channels explain of their readers' outputs, against least squares written out."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from onnxprune.evaluation import Explained, gather
from onnxprune.evaluation.explained import RANK, Contributions, channel_places, products_of
from onnxprune.evaluation.grams import Sums
from onnxprune.evaluation.readers import find_readers
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import ChannelOrder
from onnxprune.onnx_file import load_graph
from tests.law.build import Weight, model, save

Array = NDArray[Any]
RNG = np.random.default_rng(5)
LINEAR = "h = Gemm<transB=1>(x, w1, b1)\nr = Relu(h)\ny = Gemm<transB=1>(r, w2, b2)"
CONVOLUTIONS = (
    "c = Conv<pads=[1,1,1,1]>(x, w1, b1)\nr = Relu(c)\nd = Conv<pads=[1,1,1,1]>(r, w2, b2)\ns = Relu(d)\n"
    "p = GlobalAveragePool(s)\nf = Flatten(p)\ny = Gemm<transB=1>(f, w3, b3)"
)


def groups_of(folder: Path, signature: str, body: str, **weights: Weight) -> Groups:
    return find_groups(load_graph(save(model(signature, body, **weights), folder)))  # type: ignore[arg-type]


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def random_bits(count: int, channels: int, seed: int = 0) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.random((count, channels)) < rng.uniform(0.2, 0.95, (count, 1)))


def by_least_squares(reads: Array, weight: Array, kept: NDArray[np.bool_]) -> float:
    """(N, c) centred columns, (c, M) weight: the share that scaled contributions of the kept explain."""
    contributions = np.einsum("nc,cm->cnm", reads, weight).reshape(len(weight), -1)
    whole = contributions.sum(0)
    scales = np.linalg.lstsq(contributions[kept].T, whole, rcond=None)[0]
    left = whole - scales @ contributions[kept]
    return float(1 - (left @ left) / (whole @ whole))


def test_it_is_the_determination_of_scaled_contributions(tmp_path: Path) -> None:
    groups = groups_of(tmp_path, "float[N,5] x => float[N,4] y", LINEAR, w1=(12, 5), b1=12, w2=(4, 12), b2=4)
    x = normal(300, 5)
    found = Explained(groups, gather(groups, [{"x": x}]))
    weights = {name: init.array().astype(np.float64) for name, init in groups.graph.initializers.items()}
    reads = np.maximum(x @ weights["w1"].T + weights["b1"], 0)
    reads -= reads.mean(0)
    bits = random_bits(40, 12)
    wanted = [by_least_squares(reads, weights["w2"].T, kept) for kept in bits]
    np.testing.assert_allclose(found(bits)[:, 0], wanted, atol=2e-3)
    assert found(np.ones((1, 12), bool)) == pytest.approx(1, abs=1e-3)
    assert found(np.zeros((1, 12), bool)) == pytest.approx(0, abs=1e-6)


def test_a_convolution_sums_over_the_places_of_its_kernel(tmp_path: Path) -> None:
    shapes: dict[str, Weight] = {"w1": (6, 3, 3, 3), "b1": 6, "w2": (5, 6, 3, 3), "b2": 5}
    shapes |= {"w3": (4, 5), "b3": 4}
    groups = groups_of(tmp_path, "float[N,3,6,6] x => float[N,4] y", CONVOLUTIONS, **shapes)
    x = normal(64, 3, 6, 6)
    found = Explained(groups, gather(groups, [{"x": x}]))
    second, third = found.parts
    assert second.channels.tolist() == list(range(6))
    assert third.channels.tolist() == list(range(6, 11))
    # what each channel adds, from a run of the convolution on that channel alone
    arrays = {name: init.array() for name, init in groups.graph.initializers.items()}
    alone = model("float[N,6,6,6] r => float[N,5,6,6] y", "y = Conv<pads=[1,1,1,1]>(r, w2)", w2=arrays["w2"])
    first = model("float[N,3,6,6] x => float[N,6,6,6] y", "c = Conv<pads=[1,1,1,1]>(x, w1, b1)\ny = Relu(c)",
                  w1=arrays["w1"], b1=arrays["b1"])  # fmt: skip
    reads = run(first, x=x)
    each = []
    for channel in range(6):
        lone = np.zeros_like(reads)
        lone[:, channel] = reads[:, channel]
        each.append(run(alone, r=lone).astype(np.float64))
    contributions = np.stack(each)
    contributions -= contributions.mean((1, 3, 4), keepdims=True)
    flat = contributions.reshape(6, -1)
    bits = random_bits(20, 11)
    for kept, share in zip(bits[:, :6], found(bits)[:, 0], strict=True):
        scales = np.linalg.lstsq(flat[kept].T, flat.sum(0), rcond=None)[0]
        left = flat.sum(0) - scales @ flat[kept]
        assert share == pytest.approx(1 - left @ left / (flat.sum(0) @ flat.sum(0)), abs=2e-3)


def run(made: Any, **inputs: Array) -> Array:
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def products(channels: int, seed: int) -> Array:
    """Mean products of contributions of which some are much alike, as those of real channels are."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((400, 12)) @ rng.standard_normal((12, channels))
    return np.asarray(np.cov((mixed + 0.5 * rng.standard_normal((400, channels))).T))


def test_of_many_channels_it_orders_masks_as_the_whole_matrix_does() -> None:
    channels = 6 * RANK
    matrix = products(channels, 0)
    part = Contributions.of(np.arange(channels), matrix)
    bits = random_bits(200, channels)
    whole = matrix.sum(0)
    wanted = [whole[k] @ np.linalg.solve(matrix[np.ix_(k, k)], whole[k]) / whole.sum() for k in bits]
    assert spearmanr(part.share(bits.astype(float)), wanted)[0] > 0.97


def test_more_channels_never_explain_less() -> None:
    part = Contributions.of(np.arange(40), products(40, 1))
    rng = np.random.default_rng(2)
    bits = np.zeros((41, 40))
    for row, channel in enumerate(rng.permutation(40)):
        bits[row + 1 :, channel] = 1
    shares = part.share(bits)
    assert (np.diff(shares) >= -1e-9).all()
    assert shares[-1] > 0.99


def test_what_never_goes_counts_as_kept(tmp_path: Path) -> None:
    """A reader of two values side by side; the second comes from the input."""
    body = (
        "h = Gemm<transB=1>(x, w1, b1)\nr = Relu(h)\nc = Concat<axis=1>(r, x)\ny = Gemm<transB=1>(c, w2, b2)"
    )
    groups = groups_of(tmp_path, "float[N,5] x => float[N,4] y", body, w1=(6, 5), b1=6, w2=(4, 11), b2=4)
    order = ChannelOrder.of(groups)
    assert len(order) == 6
    found = Explained(groups, gather(groups, [{"x": normal(200, 5)}]))
    (part,) = found.parts
    assert part.channels.tolist() == [0, 1, 2, 3, 4, 5, 6]  # all of the input as one
    assert 0.05 < found(np.zeros((1, 6), bool))[0, 0] < 1
    assert channel_places(groups).max() == 6


def test_channels_are_told_apart_however_their_columns_lie(tmp_path: Path) -> None:
    """Flattened: the columns of a channel are apart from those of the others, and several."""
    body = "c = Conv(x, w1, b1)\nf = Flatten(c)\ny = Gemm<transB=1>(f, w2, b2)"
    groups = groups_of(
        tmp_path, "float[N,2,3,3] x => float[N,4] y", body, w1=(3, 2, 2, 2), b1=3, w2=(4, 12), b2=4
    )
    grams = gather(groups, [{"x": normal(100, 2, 3, 3)}])
    (reader,) = find_readers(groups)
    square = grams[reader.node].square
    assert square is not None
    channels, found = products_of(reader, square, channel_places(groups)[reader.inputs])
    assert channels.tolist() == [0, 1, 2]
    every = square[0] * (reader.matrix[0] @ reader.matrix[0].T)
    blocks = every.reshape(3, 4, 3, 4).sum((1, 3))
    np.testing.assert_allclose(found, blocks, rtol=1e-10)


def test_without_sums_nothing_is_explained(tmp_path: Path) -> None:
    groups = groups_of(tmp_path, "float[N,5] x => float[N,4] y", LINEAR, w1=(8, 5), b1=8, w2=(4, 8), b2=4)
    assert Explained(groups, {})(np.ones((3, 8), bool)).shape == (3, 0)


def test_what_adds_up_to_nothing_but_rounding_is_left_out(tmp_path: Path) -> None:
    """Two halves alike, of opposite weights: their sum is next to nothing, on either side."""
    w2 = np.repeat([[1, -1]], 6, axis=1).repeat(4, axis=0).astype(np.float32)
    groups = groups_of(tmp_path, "float[N,5] x => float[N,4] y", LINEAR, w1=(12, 5), b1=12, w2=w2, b2=4)
    (reader,) = find_readers(groups)
    for rounding, parts in ((-1e-12, 0), (0.0, 0), (1e-12, 0), (1e-3, 1)):
        square = np.ones((1, 12, 12))
        square[0, 0, 0] += rounding
        found = Explained(groups, {reader.node: Sums(np.zeros((1, 12)), square)})
        assert found(np.zeros((2, 12), bool)).shape == (2, parts)


def test_shares_of_many_channels_do_not_run_into_one() -> None:
    """Contributions much alike, so that the largest eigenvalues leave much beside the diagonal."""
    rng = np.random.default_rng(0)
    channels, outputs = 256, 16
    reads = np.maximum(rng.standard_normal((2000, outputs)) @ rng.standard_normal((outputs, channels)), 0)
    weight = rng.standard_normal((channels, outputs))
    part = Contributions.of(np.arange(channels), np.cov(reads.T) * (weight @ weight.T))
    order, bits = rng.permutation(channels), np.zeros((channels + 1, channels))
    for row, channel in enumerate(order):
        bits[row + 1 :, channel] = 1
    shares = part.share(bits)
    assert shares[-1] == pytest.approx(1, abs=1e-9)
    assert (shares[:-1] < 1).all()
    assert (np.diff(shares) >= -1e-9).all()
