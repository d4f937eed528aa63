"""A state comes back from the disk as it was, and nothing in the file is code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxprune.errors import UsageError
from onnxprune.search.checkpoint import frozen, load_state, save_state, thawed

KEYS = st.one_of(st.text(), st.integers(), st.just("$array"))
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
ARRAYS = hnp.arrays(st.sampled_from([np.int64, np.float32, np.bool_, np.uint8]), hnp.array_shapes(min_side=0))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(PLAIN, ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_any_value_survives(value: Any) -> None:
    arrays: dict[str, np.ndarray] = {}
    assert same(thawed(frozen(value, arrays), arrays), value)


def test_a_random_generator_goes_on_from_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rng.normal(size=7)
    save_state(tmp_path / "c.npz", {"rng": rng.bit_generator.state, "scalar": np.float32(0.1)})
    found = load_state(tmp_path / "c.npz")
    other = np.random.default_rng(0)
    other.bit_generator.state = found["rng"]
    assert (other.normal(size=5) == rng.normal(size=5)).all()
    assert found["scalar"] == np.float32(0.1)
    assert isinstance(found["scalar"], np.float32)


def test_tensors_and_the_state_of_an_optimizer_survive(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    half = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    state = {
        "layer": layer.state_dict(),
        "optimizer": optimizer.state_dict(),
        "half": half,
        "t": torch.tensor(3),
    }
    save_state(tmp_path / "c.npz", state)
    found = load_state(tmp_path / "c.npz")
    assert found["half"].dtype == torch.bfloat16
    assert torch.equal(found["half"], half)
    assert torch.equal(found["t"], state["t"])
    other = torch.nn.Linear(3, 2)
    again = torch.optim.Adam(other.parameters(), lr=1e-3)
    other.load_state_dict(found["layer"])
    again.load_state_dict(found["optimizer"])
    for one, two in ((layer, optimizer), (other, again)):
        two.zero_grad()
        one(torch.ones(1, 3)).sum().backward()
        two.step()
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize("shape", [(), (0,), (0, 7), (2, 0), (3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_tensors_of_every_shape_survive(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Those without elements too, such as the memory of an agent that has just learnt from it."""
    torch = pytest.importorskip("torch")
    tensor = torch.full(shape, 3).to(getattr(torch, dtype))
    save_state(tmp_path / "c.npz", {"tensor": tensor})
    found = load_state(tmp_path / "c.npz")["tensor"]
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    assert torch.equal(found, tensor)


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold object"):
        save_state(tmp_path / "c.npz", {"a": object()})
    with pytest.raises(TypeError, match="arrays of objects"):
        save_state(tmp_path / "c.npz", {"a": np.array([None])})


def test_a_damaged_file_and_a_pickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_state(path, {"a": np.arange(1000)})
    whole = path.read_bytes()
    pickled = tmp_path / "p.npz"
    np.savez(pickled, tree=np.array([{"format": 1}], dtype=object))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 255
    for content in (b"", whole[:-100], bytes(changed), pickled.read_bytes(), b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(UsageError) as error:
            load_state(path)
        assert error.value.code == "E208"
