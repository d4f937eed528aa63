"""The whole distillation of a small student: what is learnt, what is written, and what stops it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch.utils._pytree import tree_map

from onnxprune.distillation import DistillOptions, Hooks, TrainingData, distill, writing
from onnxprune.errors import DataError, OnnxPruneError, UsageError, VerificationError
from onnxprune.onnx_file import Graph
from tests.distillation.small_pair import (
    CLASSES,
    QUICK,
    arrays,
    graph_of,
    images,
    make_data,
    make_pair,
    network,
    samples_of,
)
from tests.onnx_file.small_models import normal, parsed

STATISTICS = {"mean", "variance"}


def changed_arrays(student: Graph, written: Path) -> set[str]:
    before, after = arrays(student.path), arrays(written)
    assert before.keys() == after.keys()
    return {name for name in before if not np.array_equal(before[name], after[name])}


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_the_student_learns_and_nothing_but_trained_arrays_differs(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    result = distill(teacher, student, make_data(), replace(QUICK, epochs=20), run=tmp_path / "run")
    assert result.metric == "top1"
    assert result.best_score > result.first_score + 0.2
    assert result.history[-1].loss < result.history[0].loss
    assert changed_arrays(student, result.path) == set(arrays(student.path))
    before, after = student.model, onnx.load(result.path)
    del before.graph.initializer[:], after.graph.initializer[:]
    assert before == after


def test_models_with_weights_of_five_axes_train(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    network (float[N, 1, 4, 8, 8] x) => (float[N, 4] y) {
        c = Conv(x, w)  r = Relu(c)  p = GlobalAveragePool(r)  f = Flatten(p)  y = Gemm<transB = 1>(f, v)
    }"""
    rng = np.random.default_rng(0)
    teacher, student = (
        graph_of(parsed(text, w=normal(rng, 6, 1, 3, 3, 3), v=normal(rng, 4, 6)), tmp_path / name)
        for name in ("teacher.onnx", "student.onnx")
    )
    data = TrainingData(*(samples_of(normal(rng, 32, 1, 4, 8, 8)) for _ in range(2)))
    result = distill(teacher, student, data, replace(QUICK, epochs=2), run=tmp_path / "run")
    assert changed_arrays(student, result.path) == {"w", "v"}


def test_without_labels_the_student_comes_to_agree_with_the_teacher(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path, last="y = Softmax(g)")
    options = replace(QUICK, epochs=15)
    result = distill(teacher, student, make_data(labelled=False), options, run=tmp_path / "run")
    assert result.metric == "agreement"
    assert result.teacher_score == 1.0
    assert result.history[-1].loss < result.history[0].loss / 3


@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_outputs_that_are_no_scores_are_matched_as_they_are(loss: str, tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path, last="y = Sigmoid(g)")
    options = replace(QUICK, epochs=10, loss=loss)
    result = distill(teacher, student, make_data(labelled=False), options, run=tmp_path / "run")
    assert result.metric == "fit"
    assert result.best_score > result.first_score
    x = images()
    error = [np.square(outputs(p, x) - outputs(teacher.path, x)).mean() for p in (student.path, result.path)]
    assert error[1] < error[0]


def test_scores_of_classes_are_asked_for_where_there_are_none(tmp_path: Path) -> None:
    flat = """<ir_version: 8, opset_import: ["" : 17]>
        flat (float[N, 3, 8, 8] x) => (float[N, 3, 8, 8] y) { y = Conv<pads = [1, 1, 1, 1]>(x, w) }"""
    graph = graph_of(parsed(flat, w=normal(np.random.default_rng(0), 3, 3, 3, 3)), tmp_path / "flat.onnx")
    with pytest.raises(UsageError, match="--loss kl needs scores of classes") as caught:
        distill(graph, graph, make_data(), replace(QUICK, loss="kl"), run=tmp_path / "run")
    assert caught.value.code == "E201"


def broken_forward(_module: torch.nn.Module) -> Callable[..., object]:
    def run(*_: object, **__: object) -> object:
        raise RuntimeError("the compiler gives up\nat length")

    return run


class BrokenBackward(torch.autograd.Function):
    @staticmethod
    def forward(_context: object, value: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return value.clone()

    @staticmethod
    def backward(_context: object, _gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        raise RuntimeError("the compiler gives up\non the way back")


def broken_backward(module: torch.nn.Module) -> Callable[..., object]:
    def run(*inputs: torch.Tensor, taps: Sequence[str] = ()) -> object:
        return tree_map(
            lambda v: BrokenBackward.apply(v) if isinstance(v, torch.Tensor) else v,
            module(*inputs, taps=taps),
        )

    return run


@pytest.mark.parametrize("broken", [broken_forward, broken_backward])
def test_what_cannot_be_compiled_runs_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr("onnxprune.distillation.preparing.torch.compile", broken)
    told: list[str] = []
    options, hooks = replace(QUICK, compile=True), Hooks(note=told.append)
    compiled = distill(*make_pair(tmp_path), make_data(), options, run=tmp_path / "a", hooks=hooks)
    assert any("runs as it is: the compiler gives up" in line for line in told)
    plain = distill(*make_pair(tmp_path), make_data(), QUICK, run=tmp_path / "b")
    assert compiled.path.read_bytes() == plain.path.read_bytes()


def test_frozen_statistics_stay_as_they_were(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    options = replace(QUICK, freeze_bn=True)
    result = distill(teacher, student, make_data(), options, run=tmp_path / "run")
    assert changed_arrays(student, result.path) == set(arrays(student.path)) - STATISTICS


def test_outputs_of_the_teacher_are_looked_up_where_inputs_are_not_augmented(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    losses = []
    for name, most in (("kept", 2**31), ("run", 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("onnxprune.distillation.teacher.MOST_CACHED", most)
            result = distill(teacher, student, make_data(), QUICK, run=tmp_path / name)
        losses.append([row.loss for row in result.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_inner_values_of_one_shape_are_matched_too(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    runs = [replace(QUICK, match=match, match_weight=10.0) for match in ((), ("auto",), ("s",))]
    results = [distill(teacher, student, make_data(), o, run=tmp_path / str(i)) for i, o in enumerate(runs)]
    first = [result.history[0].loss for result in results]
    assert first[1] > first[0]
    assert len({round(loss, 3) for loss in first}) >= 2


def test_a_step_of_two_half_batches_is_that_of_one_batch(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    once = replace(QUICK, batch=16, freeze_bn=True, ema=0)
    results = [
        distill(teacher, student, make_data(), options, run=tmp_path / name)
        for name, options in (("once", once), ("twice", replace(once, batch=8, accumulate=2)))
    ]
    assert results[0].history[-1].lr == results[1].history[-1].lr
    written = [arrays(result.path) for result in results]
    for name, value in written[0].items():
        np.testing.assert_allclose(value, written[1][name], atol=1e-4)


def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    options = replace(QUICK, epochs=50, lr=1e-9, patience=2, ema=0, freeze_bn=True)
    data = make_data()
    flipped = samples_of(images(24, 2), np.arange(24) % CLASSES, source="search")
    result = distill(teacher, student, TrainingData(data.fit, flipped), options, run=tmp_path / "run")
    assert len(result.history) < 50


def test_a_better_student_becomes_the_teacher_if_asked(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    options = replace(QUICK, epochs=12, switch_teacher=True)
    kept = distill(teacher, student, make_data(), replace(options, switch_teacher=False), run=tmp_path / "a")
    switched = distill(teacher, student, make_data(), options, run=tmp_path / "b")
    assert switched.best_score > switched.teacher_score
    assert [r.loss for r in switched.history] != [r.loss for r in kept.history]
    assert switched.history[0].loss == kept.history[0].loss


def test_half_precision_trains_float32_weights(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    result = distill(teacher, student, make_data(), replace(QUICK, precision="bf16"), run=tmp_path / "run")
    full = distill(teacher, student, make_data(), QUICK, run=tmp_path / "full")
    assert arrays(result.path)["conv_w"].dtype == np.float32
    assert result.history[0].loss == pytest.approx(full.history[0].loss, rel=0.05)
    assert result.history[0].loss != full.history[0].loss


def folded_pair(folder: Path) -> tuple[Graph, Graph]:
    """Two convolutions and a Gemm, as export leaves them: no BatchNormalization."""
    rng = np.random.default_rng(0)
    made = []
    for name, width in (("teacher", 8), ("student", 6)):
        model = parsed(
            f"""<ir_version: 8, opset_import: ["" : 17]>
            folded (float[N, 3, 8, 8] x) => (float[N, {CLASSES}] y) {{
                c = Conv<pads = [1, 1, 1, 1]>(x, conv_w, conv_b)
                r = Relu(c)
                d = Conv<strides = [2, 2]>(r, conv2_w, conv2_b)
                s = Relu(d)
                p = GlobalAveragePool(s)
                f = Flatten(p)
                y = Gemm<transB = 1>(f, fc_w, fc_b)
            }}""",
            conv_w=normal(rng, width, 3, 3, 3) / 5,
            conv_b=normal(rng, width) / 5,
            conv2_w=normal(rng, 6, width, 3, 3) / 8,
            conv2_b=normal(rng, 6) / 5,
            fc_w=normal(rng, CLASSES, 6),
            fc_b=normal(rng, CLASSES),
        )
        made.append(graph_of(model, folder / f"{name}.onnx"))
    return made[0], made[1]


def test_folded_batch_norm_is_put_back_and_folded_again(tmp_path: Path) -> None:
    teacher, student = folded_pair(tmp_path)
    still = replace(QUICK, batch=16, lr=1e-12, weight_decay=0.0, epochs=1, ema=0, warmup_epochs=9)
    told: list[str] = []
    hooks = Hooks(note=told.append)
    result = distill(teacher, student, make_data(), still, run=tmp_path / "still", hooks=hooks)
    assert any(line.startswith("2 BatchNormalizations") for line in told)
    assert [n.op_type for n in onnx.load(result.path).graph.node] == [n.op_type for n in student.nodes]
    moving = replace(QUICK, batch=16, epochs=10)
    trained = distill(teacher, student, make_data(), moving, run=tmp_path / "moving")
    assert trained.best_score > trained.first_score
    assert changed_arrays(student, trained.path) == set(arrays(student.path))
    state = torch.load(tmp_path / "moving" / "checkpoint.pt", weights_only=True)
    assert "c·mean" in " ".join(state["module"])


@pytest.mark.parametrize("options", [{"freeze_bn": True}, {"insert_bn": False}, {"batch": 8}])
def test_folded_batch_norm_stays_folded_where_it_would_not_help(
    options: dict[str, object], tmp_path: Path
) -> None:
    told: list[str] = []
    chosen = replace(QUICK, **{"batch": 16, "epochs": 1, **options})
    distill(*folded_pair(tmp_path), make_data(), chosen, run=tmp_path / "run", hooks=Hooks(note=told.append))
    assert not any("BatchNormalizations" in line for line in told)


def test_what_is_put_in_for_training_is_taken_out_before_writing(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    calls: list[str] = []

    def prepare(module: torch.nn.Module) -> torch.nn.Module:
        calls.append("prepare")
        with torch.no_grad():
            module.tensor("fc_w").mul_(2.0)
        return module

    def finish(module: torch.nn.Module) -> torch.nn.Module:
        calls.append("finish")
        assert not module.training
        with torch.no_grad():
            module.tensor("fc_w").div_(2.0)
        return module

    hooks = Hooks(prepare=prepare, finish=finish)
    options = replace(QUICK, lr=1e-9, weight_decay=0.0)
    result = distill(teacher, student, make_data(), options, run=tmp_path / "run", hooks=hooks)
    assert calls == ["prepare", "finish"]
    np.testing.assert_allclose(arrays(result.path)["fc_w"], arrays(student.path)["fc_w"], atol=1e-4)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    x, labels = images(), np.arange(48) % CLASSES
    x[40] = -np.inf
    data = replace(make_data(), fit=samples_of(x, labels))
    with pytest.raises(OnnxPruneError, match=r"step \d+ of epoch 1; no epoch was finished") as caught:
        distill(teacher, student, data, QUICK, run=tmp_path / "run")
    assert caught.value.code == "E703"
    assert "--lr 0.017" in caught.value.hint
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_rate_that_is_too_high_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    seen: list[bytes] = []
    hooks = Hooks(epoch=lambda _row: seen.append((tmp_path / "run" / "checkpoint.pt").read_bytes()))
    options = replace(QUICK, lr=90.0, warmup_epochs=40, epochs=60, clip_norm=0)
    with pytest.raises(OnnxPruneError, match="checkpoint of epoch") as caught:
        distill(teacher, student, make_data(), options, run=tmp_path / "run", hooks=hooks)
    assert caught.value.code == "E703"
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == seen[-1]
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert all(bool(torch.isfinite(v).all()) for v in state["module"].values())


def test_inputs_that_are_not_finite_are_told_with_their_row(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    x = images()
    x[40, 1, 2, 3] = np.nan
    data = replace(make_data(), fit=samples_of(x, source="train.npz"))
    with pytest.raises(DataError, match=r"train\.npz, input x: row 40 holds nan or infinity") as caught:
        distill(teacher, student, data, QUICK, run=tmp_path / "run")
    assert caught.value.code == "E503"


@pytest.mark.parametrize(
    ("fit", "options", "code", "told"),
    [
        (samples_of(images(0), np.zeros(0, int)), QUICK, "E508", "no samples"),
        (
            samples_of(images(6), np.arange(6) % CLASSES),
            QUICK,
            "E508",
            "6 rows to learn from, a step needs 8",
        ),
        (samples_of(images(9), np.arange(9)), QUICK, "E507", "label 8 of row 8"),
        (samples_of(images(9), np.arange(9) - 1), QUICK, "E507", "label -1 of row 0"),
        (samples_of(images(9), np.arange(9)), replace(QUICK, alpha=1.0), "", ""),
    ],
)
def test_data_that_cannot_be_learnt_from_is_told(
    fit: object, options: DistillOptions, code: str, told: str, tmp_path: Path
) -> None:
    teacher, student = make_pair(tmp_path)
    data = TrainingData(fit, make_data().search)
    if not code:
        distill(teacher, student, data, options, run=tmp_path / "run")
        return
    with pytest.raises(DataError, match=told) as caught:
        distill(teacher, student, data, options, run=tmp_path / "run")
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()


def test_models_with_other_outputs_are_no_pair(tmp_path: Path) -> None:
    teacher, _ = make_pair(tmp_path)
    other = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        other (float[N, 3, 8, 8] x) => (float[N, 6] y) { f = Flatten(x)  y = MatMul(f, w) }""",
        w=normal(np.random.default_rng(0), 192, 6),
    )
    with pytest.raises(UsageError, match="different outputs") as caught:
        distill(teacher, graph_of(other, tmp_path / "o.onnx"), make_data(), QUICK, run=tmp_path / "run")
    assert caught.value.code == "E209"
    assert "y float32 [N,4]" in caught.value.cause


def test_no_file_is_handed_out_if_onnx_runtime_disagrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = make_pair(tmp_path)
    monkeypatch.setattr(writing, "to_onnx", lambda _module, _graph: network(np.random.default_rng(9), 6))
    with pytest.raises(VerificationError, match="does not agree") as caught:
        distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    assert caught.value.code == "E802"
    assert not (tmp_path / "run" / "student.onnx").exists()
    assert (tmp_path / "run" / "checkpoint.pt").exists()
