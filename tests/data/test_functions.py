"""The user's own function: what it yields, and what it does wrong."""

from pathlib import Path

import pytest

from onnxprune.data.callables import is_callable_spec, load_callable
from onnxprune.data.opening import open_data
from onnxprune.errors import DataError
from tests.data.inputs import VECTOR

CODE = """
import numpy as np

def batches():
    for number in range(3):
        yield {"x": np.full((2, 4), number, np.float32)}, np.array([number, number])

def rows():
    for number in range(3):
        yield {"x": np.full(4, number, np.float32)}, number

def unlabelled():
    yield {"x": np.ones((2, 4), np.float32)}

def wrong():
    yield [1, 2, 3]

def nothing():
    return iter(())

def raises():
    yield {"x": np.ones((2, 4), np.float32)}
    raise ValueError("no such video")
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "user_data.py").write_text(CODE)
    return str(tmp_path / "user_data.py")


@pytest.mark.parametrize(("name", "labels"), [("batches", [0, 0, 1, 1, 2, 2]), ("rows", [0, 1, 2])])
def test_batches_and_rows_are_read_alike(module: str, name: str, labels: list[int]) -> None:
    samples = open_data(f"{module}:{name}", inputs=VECTOR)
    for _ in range(2):  # every pass calls the function anew
        (batch,) = samples.batches(100)
        assert batch.labels.tolist() == labels
        assert batch.inputs["x"].shape == (len(labels), 4)


def test_a_dict_alone_is_unlabelled(module: str) -> None:
    assert not open_data(f"{module}:unlabelled", inputs=VECTOR).labelled


@pytest.mark.parametrize(
    ("name", "message"),
    [("wrong", "yields list"), ("nothing", "yields nothing"), ("absent", "has no function")],
)
def test_what_is_wrong_with_it_is_told(module: str, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"{module}:{name}", inputs=VECTOR)
    assert caught.value.code == "E501"


def test_what_it_raises_is_told_with_its_line(module: str) -> None:
    samples = open_data(f"{module}:raises", inputs=VECTOR)
    line = CODE.splitlines().index('    raise ValueError("no such video")') + 1
    with pytest.raises(DataError, match=f"raised ValueError at .*user_data.py:{line}") as caught:
        list(samples.batches(1))
    assert caught.value.cause == "no such video"


def test_a_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_private_data.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    assert open_data("my_private_data:batches", inputs=VECTOR).labelled


def test_a_module_that_is_missing_is_told() -> None:
    with pytest.raises(DataError, match="ModuleNotFoundError"):
        load_callable("no_such_module_here:f", code="E506")


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("a.b:c", True),
        ("dir/a.py:c", True),
        ("a:b:c", False),
        ("x.npz", False),
        ("C:\\data\\x.npz", False),
        (":f", False),
    ],
)
def test_functions_are_told_from_paths(spec: str, answer: bool) -> None:
    assert is_callable_spec(spec) is answer
