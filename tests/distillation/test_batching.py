"""Models with a batch of 1 built in: freed, else trained row by row, else refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto

from onnxprune.distillation import batching, distill
from onnxprune.distillation.batching import RowByRow, form_for_batches
from onnxprune.errors import UnsupportedError
from onnxprune.onnx_file import Graph
from tests.distillation.small_pair import QUICK, arrays, graph_of, images, make_data, network, samples_of
from tests.onnx_file.small_models import normal, parsed

ROWS = [torch.from_numpy(images(3))]


def baked(rng: np.random.Generator, width: int, reshape: str = "1, -1") -> ModelProto:
    """A Reshape to one row: three rows together raise, or are laid out in another way."""
    return parsed(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        baked (float[1, 3, 8, 8] x) => (float[1, 4] y) {{
            c = Conv<pads = [1, 1, 1, 1]>(x, conv_w, conv_b)
            r = Relu(c)
            p = GlobalAveragePool(r)
            target = Constant<value = int64[2] {{{reshape}}}>()
            f = Reshape(p, target)
            y = Gemm<transB = 1>(f, fc_w, fc_b)
        }}""",
        conv_w=normal(rng, width, 3, 3, 3) / 5,
        conv_b=np.zeros(width, np.float32),
        fc_w=normal(rng, 4, width),
        fc_b=np.zeros(4, np.float32),
    )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Graph, Graph]:
    rng = np.random.default_rng(0)
    return graph_of(baked(rng, 8), tmp_path / "t.onnx"), graph_of(baked(rng, 6), tmp_path / "s.onnx")


def test_a_free_model_is_taken_as_it_is(tmp_path: Path) -> None:
    form = form_for_batches(graph_of(network(np.random.default_rng(0)), tmp_path / "m.onnx"), ROWS)
    assert not form.freed
    assert not form.row_by_row


def test_a_built_in_batch_is_freed(pair: tuple[Graph, Graph]) -> None:
    form = form_for_batches(pair[1], ROWS)
    assert form.freed
    assert form.module(ROWS[0]).shape == (3, 4)


def test_where_it_cannot_be_freed_rows_are_trained_one_by_one_together(
    pair: tuple[Graph, Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "free_batch", lambda _graph: None)
    form = form_for_batches(pair[1], ROWS)
    assert form.row_by_row
    runner = form.runner(form.module)
    assert isinstance(runner, RowByRow)
    singles = torch.cat([form.module(ROWS[0][at : at + 1]) for at in range(3)])
    torch.testing.assert_close(runner(ROWS[0]), singles)


@pytest.mark.parametrize("freed", [True, False])
def test_such_a_student_learns_and_its_file_keeps_the_batch_it_had(
    freed: bool, pair: tuple[Graph, Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not freed:
        monkeypatch.setattr(batching, "free_batch", lambda _graph: None)
    result = distill(*pair, make_data(), QUICK, run=tmp_path / "run")
    assert result.history[-1].loss < result.history[0].loss
    before, after = arrays(pair[1].path), arrays(result.path)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == set(before)


def test_a_fixed_axis_of_one_beside_the_batch_is_trained_row_by_row(tmp_path: Path) -> None:
    """Three temperatures would divide three classes."""
    weight = normal(np.random.default_rng(0), 12, 3)
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        tempered (float[N, 12] x, float[1] t) => (float[N, 3] y) { h = MatMul(x, w) y = Div(h, t) }""",
        w=weight,
    )
    graph = graph_of(model, tmp_path / "m.onnx")
    x = torch.from_numpy(normal(np.random.default_rng(1), 50, 12))
    for t in (torch.linspace(1, 2, 50), torch.full((50,), 2.0)):
        form = form_for_batches(graph, [x[:16], t[:16]])
        together = form.runner(form.module)(x, t)
        torch.testing.assert_close(together, x @ torch.from_numpy(weight) / t[:, None])


def test_the_rows_that_are_tried_are_as_many_as_no_axis_is_long(tmp_path: Path) -> None:
    graph = graph_of(network(np.random.default_rng(0)), tmp_path / "m.onnx")
    extents = {n for shape in graph.shapes.values() for n in shape}
    for given in (1, 2, 16):
        (rows,) = batching.rows_to_try(graph, [torch.arange(given)])
        assert len(rows) >= batching.LEAST_ROWS
        assert len(rows) not in extents
        assert rows[0] == 0


def test_a_model_that_mixes_rows_is_refused(tmp_path: Path) -> None:
    mixing = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        mixing (float[2, 4] x) => (float[2, 4] y) {
            h = MatMul(x, w)
            m = ReduceMean<axes = [0]>(h)
            y = Add(h, m)
        }""",
        w=normal(np.random.default_rng(0), 4, 4),
    )
    rows = [torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))]
    with pytest.raises(UnsupportedError, match="cannot be trained") as caught:
        form_for_batches(graph_of(mixing, tmp_path / "m.onnx"), rows)
    assert caught.value.code == "E406"


def test_a_model_that_gives_several_rows_a_sample_is_refused(tmp_path: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        merging (float[N, 12] x) => (float[M, 3] y) { h = MatMul(x, w) y = Reshape(h, target) }""",
        w=normal(np.random.default_rng(0), 12, 12),
        target=np.array([-1, 3], np.int64),
    )
    with pytest.raises(UnsupportedError, match="output y has 20 rows for 5 of the input") as caught:
        form_for_batches(graph_of(model, tmp_path / "m.onnx"), [torch.zeros(16, 12)])
    assert caught.value.code == "E406"


def test_a_model_that_gives_a_sequence_is_refused(tmp_path: Path) -> None:
    halves = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        halves (float[2, 4] x) => (seq(float[2, 2]) y) {
            h = MatMul(x, w)  y = SplitToSequence <axis = 1> (h)
        }""",
        w=normal(np.random.default_rng(0), 4, 2),
    )
    with pytest.raises(UnsupportedError, match="its output y is no tensor"):
        form_for_batches(graph_of(halves, tmp_path / "m.onnx"), [torch.zeros(3, 4)])


def test_regression_on_vectors_needs_no_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def layered(width: int) -> ModelProto:
        return parsed(
            """<ir_version: 8, opset_import: ["" : 17]>
            layered (float[N, 5] x) => (float[N] y) {
                h = Gemm(x, w1, b1)  r = Relu(h)  s = MatMul(r, w2)  one = Constant<value = int64[1] {1}>()
                y = Squeeze(s, one)
            }""",
            w1=normal(rng, 5, width),
            b1=normal(rng, width),
            w2=normal(rng, width, 1),
        )

    pair = [graph_of(layered(width), tmp_path / f"{width}.onnx") for width in (12, 6)]
    x = rng.normal(size=(64, 5)).astype(np.float32)
    data = make_data()
    data = type(data)(samples_of(x[:48]), samples_of(x[48:]))
    result = distill(*pair, data, QUICK, run=tmp_path / "run")
    assert result.metric == "fit"
    assert result.best_score > result.first_score


@pytest.mark.parametrize("dtype", ["float16", "double"])
def test_weights_of_other_types_are_trained_and_keep_their_type(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind = np.dtype("float64" if dtype == "double" else dtype)

    def layered(width: int) -> ModelProto:
        return parsed(
            f"""<ir_version: 8, opset_import: ["" : 17]>
            layered ({dtype}[N, 5] x) => ({dtype}[N, 4] y) {{
                h = Gemm(x, w1, b1)  r = Relu(h)  y = MatMul(r, w2)
            }}""",
            w1=normal(rng, 5, width).astype(kind),
            b1=normal(rng, width).astype(kind),
            w2=normal(rng, width, 4).astype(kind),
        )

    pair = [graph_of(layered(width), tmp_path / f"{width}.onnx") for width in (12, 6)]
    x = rng.normal(size=(64, 5)).astype(kind)
    data = type(make_data())(samples_of(x[:48]), samples_of(x[48:]))
    result = distill(*pair, data, QUICK, run=tmp_path / "run")
    assert result.best_score > result.first_score
    assert {value.dtype for value in arrays(result.path).values()} == {kind}


def test_indices_are_inputs_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def embedding(width: int) -> ModelProto:
        return parsed(
            """<ir_version: 8, opset_import: ["" : 17]>
            embedding (int64[N, 6] x) => (float[N, 4] y) {
                e = Gather(table, x)  m = ReduceMean<axes = [1], keepdims = 0>(e)  y = MatMul(m, w)
            }""",
            table=normal(rng, 10, width),
            w=normal(rng, width, 4),
        )

    pair = [graph_of(embedding(width), tmp_path / f"{width}.onnx") for width in (12, 6)]
    x = rng.integers(0, 10, (64, 6))
    data = type(make_data())(samples_of(x[:48]), samples_of(x[48:]))
    result = distill(*pair, data, QUICK, run=tmp_path / "run")
    assert result.best_score > result.first_score
