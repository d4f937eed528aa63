"""Which metric decides where none is asked for, and what is said of labels that do not count."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.data import Batch, Samples
from onnxprune.measurement.choice import choose_metric, metric_for
from onnxprune.onnx_file import Graph, load_graph
from tests.compression.conftest import told_apart
from tests.onnx_file.small_models import chain


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "model.onnx"
    onnx.save(told_apart(chain(np.random.default_rng(0))), path)
    return load_graph(path)


def labelled(labels: np.ndarray) -> Batch:
    return Batch({"x": np.zeros((4, 3, 8, 8), np.float32)}, labels)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_whole_number_a_row_is_a_class(dtype: type, shape: tuple[int, ...], graph: Graph) -> None:
    metric = metric_for("auto", graph, labelled(np.arange(4).astype(dtype).reshape(shape)))
    assert (metric.name, metric.labelled, metric.unused) == ("top1", True, "")


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.array([0, 1, np.nan, 2]), "nan is no class"),
        (np.array([0, 1.5, 1, 2]), "1.5 is no class"),
        (np.eye(5)[:4], "5 numbers a row"),
        (np.array(["a", "b", "c", "d"]), "they are <U1"),
        (np.array([1.0, 89.0, 2.0, 3.0]), "89 is none of 5 classes"),
    ],
)
def test_other_labels_do_not_count_and_it_says_why(labels: np.ndarray, why: str, graph: Graph) -> None:
    metric = metric_for("auto", graph, labelled(labels))
    assert (metric.name, metric.labelled) == ("agreement", False)
    assert metric.unused.startswith("W507")
    assert why in metric.unused


def test_without_samples_it_is_agreement(graph: Graph) -> None:
    empty = Samples("none", lambda _: iter(()), 0, labelled=True)
    assert choose_metric("auto", graph, empty).name == "agreement"
