"""What holds for every model: nothing but weights changes, and nothing at all where nothing went."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxprune.errors import DataError, UsageError
from onnxprune.groups import Groups
from onnxprune.masks import all_true
from onnxprune.pruning import prune
from onnxprune.reconstruction import METHODS, ReconstructOptions, Repair, reconstruct
from onnxprune.verification import VerifyOptions, verify
from tests.reconstruction.conftest import Build
from tests.reconstruction.test_exact import run

Array = NDArray[Any]
RNG = np.random.default_rng(3)
SHAPES = {
    "w1": (8, 3, 3, 3),
    "b1": 8,
    "w2": (6, 8, 3, 3),
    "b2": 6,
    "w3": (6, 3, 3, 3),
    "b3": 6,
    "fc": (5, 6),
    "fcb": 5,
}
BODY = """
    c = Conv<pads=[1,1,1,1]>(x, w1, b1)
    r = Relu(c)
    d = Conv<pads=[1,1,1,1]>(r, w2, b2)
    e = Conv<pads=[1,1,1,1]>(x, w3, b3)
    s = Add(d, e)
    t = Relu(s)
    g = GlobalAveragePool(t)
    f = Flatten(g)
    y = Gemm<transB=1>(f, fc, fcb)
"""


def images(count: int = 24) -> dict[str, Array]:
    return {"x": np.random.default_rng(0).standard_normal((count, 3, 6, 6)).astype(np.float32)}


@pytest.fixture
def residual(groups_of: Build) -> Groups:
    return groups_of("float[N,3,6,6] x => float[N,5] y", BODY, **SHAPES)


def halves(groups: Groups) -> dict[str, NDArray[np.bool_]]:
    return {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}


@pytest.mark.parametrize("method", METHODS)
def test_masks_that_keep_everything_change_nothing(residual: Groups, method: Any) -> None:
    model = reconstruct(residual, all_true(residual), [images()], options=ReconstructOptions(method))
    assert model.SerializeToString() == residual.graph.model.SerializeToString()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_weights_differs_from_the_pruned_model(residual: Groups, method: Any) -> None:
    masks = halves(residual)
    plain, repaired = (
        prune(residual, masks),
        reconstruct(residual, masks, [images()], options=ReconstructOptions(method)),
    )
    assert [t.dims for t in plain.graph.initializer] == [t.dims for t in repaired.graph.initializer]
    for model in (plain, repaired):
        del model.graph.initializer[:]
    assert plain.SerializeToString() == repaired.SerializeToString()
    whole = reconstruct(residual, masks, [images()], options=ReconstructOptions(method))
    assert verify(
        residual.graph, whole, masks=masks, groups=residual, options=VerifyOptions(retrained=True)
    ).ok


def test_the_size_of_batches_does_not_matter(residual: Groups) -> None:
    feed, masks = images(), halves(residual)
    options = ReconstructOptions(portion_bytes=1, passes=0)
    one = run(reconstruct(residual, masks, [feed], options=ReconstructOptions(passes=0)), feed)
    singles = [{"x": feed["x"][i : i + 1]} for i in range(24)]
    np.testing.assert_allclose(
        run(reconstruct(residual, masks, singles, options=options), feed), one, rtol=1e-3, atol=1e-4
    )


def test_every_repair_lowers_its_error(residual: Groups) -> None:
    told: list[Repair] = []
    reconstruct(
        residual, halves(residual), [images()], options=ReconstructOptions(passes=0), told=told.append
    )
    assert [r.number for r in told] == [1, 2]  # the shortcut reads the input, and lost nothing
    assert all(r.before is not None and r.after is not None and r.after <= r.before + 1e-9 for r in told)


def test_weights_equal_those_of_numpy(groups_of: Build) -> None:
    body = "c = Gemm(x, w1, b1)\nr = Relu(c)\ny = Gemm(r, w2, b2)"
    groups = groups_of("float[N,7] x => float[N,5] y", body, w1=(7, 8), b1=8, w2=(8, 5), b2=5)
    feed = {"x": RNG.standard_normal((200, 7)).astype(np.float32)}
    (group,) = groups.prunable
    masks = {group.name: np.arange(8) < 5}
    repaired = reconstruct(groups, masks, [feed], options=ReconstructOptions(ridge=1e-12))
    weights = {t.name: numpy_helper.to_array(t) for t in repaired.graph.initializer}
    arrays = {name: i.array() for name, i in groups.graph.initializers.items()}
    read = np.maximum(feed["x"] @ arrays["w1"] + arrays["b1"], 0)
    columns = np.hstack([read[:, :5], np.ones((200, 1))])
    expected = np.linalg.lstsq(columns, read @ arrays["w2"] + arrays["b2"], rcond=None)[0]
    np.testing.assert_allclose(weights["w2"], expected[:5], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(weights["b2"], expected[5], rtol=1e-2, atol=1e-3)


def test_a_model_fixed_to_one_row_is_run_row_by_row(groups_of: Build) -> None:
    groups = groups_of("float[1,3,6,6] x => float[1,5] y", BODY, **SHAPES)
    repaired = reconstruct(groups, halves(groups), [images(8)])
    assert np.isfinite(run(repaired, images(1))).all()


def test_a_shared_weight_is_left_alone_and_said_so(groups_of: Build) -> None:
    groups = groups_of(
        "float[N,3,4,4] x => float[N,6,4,4] y",
        "a = Conv(x, w1)\nr = Relu(a)\nc = Conv(r, w, b)\nd = Conv(r, w)\nt = Tanh(d)\ny = Mul(c, t)",
        w1=(8, 3, 1, 1), w=(6, 8, 1, 1), b=6,
    )  # fmt: skip
    told: list[Repair] = []
    feed = {"x": RNG.standard_normal((4, 3, 4, 4)).astype(np.float32)}
    (group,) = groups.prunable
    masks = {group.name: np.arange(8) < 4}
    model = reconstruct(groups, masks, [feed], told=told.append)
    weights = [{t.name: t.raw_data for t in m.graph.initializer} for m in (model, prune(groups, masks))]
    assert weights[0]["w"] == weights[1]["w"]
    assert weights[0]["b"] != weights[1]["b"]  # the mean can still be given back
    assert ["shared" in told[0].note, told[1].note] == [True, "left alone: it has no bias"]


def test_half_precision_stays_half_precision(groups_of: Build) -> None:
    shapes = {"w1": (7, 8), "b1": (8,), "w2": (8, 5), "b2": (5,)}
    weights = {name: RNG.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    body = "c = Gemm(x, w1, b1)\nr = Relu(c)\ny = Gemm(r, w2, b2)"
    groups = groups_of("float16[N,7] x => float16[N,5] y", body, **weights)
    feed = {"x": RNG.standard_normal((50, 7)).astype(np.float16)}
    told: list[Repair] = []
    repaired = reconstruct(groups, {groups.prunable[0].name: np.arange(8) < 5}, [feed], told=told.append)
    assert {t.data_type for t in repaired.graph.initializer} == {10}
    assert told[0].after is not None
    assert told[0].before is not None
    assert told[0].after < told[0].before


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_masks_of_every_group_never_raise_the_error(residual: Groups, data: st.DataObject) -> None:
    masks = {}
    for group in residual.prunable:
        bits = np.array(data.draw(st.lists(st.booleans(), min_size=group.channels, max_size=group.channels)))
        bits[data.draw(st.integers(0, group.channels - 1))] = True
        masks[group.name] = bits
    told: list[Repair] = []
    feed = images()
    repaired = reconstruct(residual, masks, [feed], options=ReconstructOptions(passes=0), told=told.append)
    expected = run(residual.graph.model, feed)
    before, after = (np.square(run(m, feed) - expected).sum() for m in (prune(residual, masks), repaired))
    assert after <= before * 1.001 + 1e-6


def test_the_means_are_those_of_the_original_after_the_light_form(residual: Groups) -> None:
    feed, masks = images(), halves(residual)
    repaired = reconstruct(residual, masks, [feed], options=ReconstructOptions("bias"))
    np.testing.assert_allclose(
        run(repaired, feed).mean(0), run(residual.graph.model, feed).mean(0), rtol=1e-4, atol=1e-4
    )


def test_no_inputs_and_inputs_that_are_not_finite_are_refused(residual: Groups) -> None:
    with pytest.raises(DataError) as none:
        reconstruct(residual, halves(residual), [])
    assert none.value.code == "E504"
    wrong = images()
    wrong["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN or infinity") as caught:
        reconstruct(residual, halves(residual), [wrong])
    assert caught.value.code == "E502"


def test_an_unknown_method_is_refused(residual: Groups) -> None:
    with pytest.raises(UsageError, match="unknown method"):
        reconstruct(residual, {}, [images()], options=ReconstructOptions("magic"))  # type: ignore[arg-type]
