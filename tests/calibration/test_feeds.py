"""Rows are cut to what a model takes in one run, and none is lost between two batches."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from onnxprune.calibration.feeds import Feed, few_feeds, portions
from onnxprune.data import open_data
from onnxprune.onnx_file import Graph, load_graph


def graph_of(batch: int | str, folder: Path) -> Graph:
    head = '<ir_version: 8, opset_import: ["": 17]>'
    text = f"{head} g (float[{batch}, 2] x) => (float[{batch}, 2] y) {{y = Relu(x)}}"
    onnx.save(parser.parse_model(text), folder / "relu.onnx")
    return load_graph(folder / "relu.onnx")


def feeds(*lengths: int) -> list[Feed]:
    rows = np.arange(2 * sum(lengths), dtype=np.float32).reshape(-1, 2)
    return [{"x": part} for part in np.split(rows, np.cumsum(lengths)[:-1])]


@pytest.mark.parametrize("lengths", [(3, 3, 3), (1,) * 9, (9,), (8, 1), (5, 4)])
def test_a_fixed_batch_is_filled_over_the_bounds_of_batches(lengths: tuple[int, ...], tmp_path: Path) -> None:
    runs = list(portions(graph_of(4, tmp_path), feeds(*lengths), 2))
    assert [len(run["x"]) for run in runs] == [4, 4]
    assert np.array_equal(np.concatenate([run["x"] for run in runs]), feeds(9)[0]["x"][:8])


def test_a_free_batch_keeps_every_row_in_runs_of_at_most_so_many(tmp_path: Path) -> None:
    runs = list(portions(graph_of("n", tmp_path), feeds(5, 4), 2))
    assert [len(run["x"]) for run in runs] == [2, 2, 1, 2, 2]
    assert np.array_equal(np.concatenate([run["x"] for run in runs]), feeds(9)[0]["x"])


@pytest.mark.parametrize(("batch", "want"), [("n", [1, 1]), (1, [1, 1]), (4, [4, 4]), (16, [])])
def test_inputs_for_a_proof_are_batches_that_the_model_takes(
    batch: int | str, want: list[int], tmp_path: Path
) -> None:
    graph = graph_of(batch, tmp_path)
    np.savez(tmp_path / "rows.npz", **feeds(9)[0])
    samples = open_data(str(tmp_path / "rows.npz"), inputs=graph.inputs)
    assert [len(feed["x"]) for feed in few_feeds(graph, samples, 2)] == want
