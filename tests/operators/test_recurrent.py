"""LSTM, GRU and RNN: the hidden state and the input channels, in every form that the operators have."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

SEQUENCE = "float[S,N,4] x => float[S,N,5] y"  # layout 0: the sequence first
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
H = 6


def weights(operator: str, directions: int = 1, inputs: int = 4, **more: Weight) -> dict[str, Weight]:
    rows = GATES[operator] * H
    return {"w": (directions, rows, inputs), "r": (directions, rows, H), "b": (directions, 2 * rows), **more}


def hidden(last: str) -> str:
    return f"{H}: w.1 r.1 r.2 b.1 {last}"


@pytest.mark.parametrize("operator", GATES)
def test_the_hidden_state_is_one_group_over_all_gates(law: Law, operator: str) -> None:
    body = f"""
        h = {operator}<hidden_size=6>(x, w, r, b)
        f = Squeeze(h, one)
        y = MatMul(f, fc)
    """
    assert law(SEQUENCE, body, **weights(operator, one=ints(1), fc=(H, 5))) == [hidden("fc.0")]


@pytest.mark.parametrize("operator", GATES)
def test_both_directions_lose_the_same_channels(law: Law, operator: str) -> None:
    body = f"""
        h = {operator}<hidden_size=6, direction="bidirectional">(x, w, r, b)
        t = Transpose<perm=[0,2,1,3]>(h)
        f = Reshape(t, shape)
        y = MatMul(f, fc)
    """
    found = law(SEQUENCE, body, **weights(operator, 2, shape=ints(0, 0, 2 * H), fc=(2 * H, 5)))
    assert found == [hidden("fc.0")]


@pytest.mark.parametrize("operator", GATES)
def test_input_channels_come_from_the_layer_before(law: Law, operator: str) -> None:
    body = f"""
        a = MatMul(x, w0)
        s = Sigmoid(a)
        h = {operator}<hidden_size=6, direction="reverse">(s, w, r, b)
        f = Squeeze(h, one)
        y = MatMul(f, fc)
    """
    found = law(SEQUENCE, body, w0=(4, 7), **weights(operator, inputs=7, one=ints(1), fc=(H, 5)))
    assert found == ["7: w0.1 w.2", hidden("fc.0")]


def test_stacked_layers_share_the_state_between_them(law: Law) -> None:
    body = """
        h1 = LSTM<hidden_size=6>(x, w, r, b)
        f1 = Squeeze(h1, one)
        h2 = GRU<hidden_size=3>(f1, w2, r2)
        f2 = Squeeze(h2, one)
        y = MatMul(f2, fc)
    """
    found = law(SEQUENCE, body, **weights("LSTM", one=ints(1)), w2=(1, 9, 6), r2=(1, 9, 3), fc=(3, 5))
    assert found == [hidden("w2.2"), "3: w2.1 r2.1 r2.2 fc.0"]


@pytest.mark.parametrize("reset", [0, 1])
def test_a_gru_resets_before_or_after_its_linear_layer(law: Law, reset: int) -> None:
    body = f"""
        h = GRU<hidden_size=6, linear_before_reset={reset}>(x, w, r, b)
        f = Squeeze(h, one)
        y = MatMul(f, fc)
    """
    assert law(SEQUENCE, body, **weights("GRU", one=ints(1), fc=(H, 5))) == [hidden("fc.0")]


def test_peepholes_lengths_and_initial_states_follow(law: Law) -> None:
    body = """
        h, hn, cn = LSTM<hidden_size=6>(x, w, r, b, lengths, h0, c0, p)
        f = Squeeze(h, one)
        last = Squeeze(cn, zero)
        s = Add(f, last)
        y = MatMul(s, fc)
    """
    more: dict[str, Weight] = {"lengths": np.array([2, 3], np.int32), "h0": (1, 2, H), "c0": (1, 2, H)}
    found = law(
        "float[S,2,4] x => float[S,2,5] y",
        body,
        trial=Trial(batches=(3, 5)),
        **weights("LSTM", one=ints(1), zero=ints(0), **more),
        p=(1, 3 * H),
        fc=(H, 5),
    )
    assert found == [f"{H}: w.1 r.1 r.2 b.1 p.1 h0.2 c0.2 fc.0"]


def test_zero_states_of_a_computed_shape_shrink_with_the_hidden_size(law: Law) -> None:
    body = """
        shape = Shape(x)
        n = Gather<axis=0>(shape, i1)
        whole = Concat<axis=0>(one, n, size)
        h0 = ConstantOfShape(whole)
        h, hn, cn = LSTM<hidden_size=6>(x, w, r, b, , h0, h0)
        last = Squeeze(hn, zero)
        y = MatMul(last, fc)
    """
    more: dict[str, Weight] = {"one": ints(1), "zero": ints(0), "size": ints(H), "i1": ints(1)}
    found = law("float[S,N,4] x => float[N,5] y", body, **weights("LSTM", **more), fc=(H, 5))
    assert found == [hidden("fc.0")]


def test_batch_first_layout(reference_law: Law) -> None:
    body = """
        h, hn = RNN<hidden_size=6, layout=1>(x, w, r, b, , h0)
        f = Squeeze(h, two)
        y = MatMul(f, fc)
    """
    found = reference_law(
        "float[2,S,4] x => float[2,S,5] y", body, **weights("RNN", two=ints(2)), h0=(2, 1, H), fc=(H, 5)
    )
    assert found == [f"{H}: w.1 r.1 r.2 b.1 h0.2 fc.0"]


def test_a_state_that_leaves_the_model_is_frozen_and_the_input_is_not(law: Law) -> None:
    body = """
        a = MatMul(x, w0)
        h, hn, cn = LSTM<hidden_size=6>(a, w, r, b)
        y = Identity(hn)
    """
    found = law("float[S,N,4] x => float[1,N,6] y", body, w0=(4, 7), **weights("LSTM", inputs=7))
    assert found == ["7: w0.1 w.2"]


def test_a_quantised_lstm_is_inexact(law: Law) -> None:
    body = """
        h = com.microsoft.DynamicQuantizeLSTM<hidden_size=6>(x, w, r, b, , , , , ws, wz, rs, rz)
        f = Squeeze(h, one)
        y = MatMul(f, fc)
    """
    rng = np.random.default_rng(0)
    quantised: dict[str, Weight] = {
        "w": rng.integers(-9, 9, (1, 4, 4 * H)).astype(np.int8),
        "r": rng.integers(-9, 9, (1, H, 4 * H)).astype(np.int8),
        "ws": rng.random((1, 4 * H)).astype(np.float32) / 50,
        "wz": np.zeros((1, 4 * H), np.int8),
        "rs": rng.random((1, 4 * H)).astype(np.float32) / 50,
        "rz": np.zeros((1, 4 * H), np.int8),
    }
    found = law(SEQUENCE, body, **quantised, b=(1, 8 * H), one=ints(1), fc=(H, 5))
    assert found == [f"~{H}: w.2 r.1 r.2 b.1 ws.1 wz.1 rs.1 rz.1 fc.0"]
