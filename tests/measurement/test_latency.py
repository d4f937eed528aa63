"""Latency of small models: what is told beside the figures, and how much work a model does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxprune.errors import OnnxPruneError
from onnxprune.measurement.host import HostFacts, host_facts, parse_quota
from onnxprune.measurement.kernels import ConvKernels, conv_kernels, node_latencies, node_table
from onnxprune.measurement.lanes import Contender, device_run, host_run, make_lane
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.providers import CPU, CUDA
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.measurement.timing import CPU_CLOCK_IS_FINE, Protocol
from tests.measurement.small_models import convolutions, image, model_of

ON_CPU = SessionSettings("cpu")
QUICK = BenchOptions(ON_CPU, Protocol(warmup_ms=5, warmup_runs=2, duration_s=0.2, min_runs=30))
SMALL, LARGE = convolutions(16, side=16), convolutions(256, side=16)
INPUT = image(16)


def test_a_model_of_sixteen_times_the_work_is_slower_and_the_smaller_is_faster() -> None:
    for first, second, claim in ((SMALL, LARGE, "slower"), (LARGE, SMALL, "faster")):
        report = bench([Contender("first", first, INPUT), Contender("second", second, INPUT)], QUICK)
        (comparison,) = report.comparisons
        assert comparison.verdict == claim
        assert (comparison.wall_ratio > 1) == (claim == "slower")


def test_of_a_model_beside_itself_nothing_much_is_claimed() -> None:
    report = bench([Contender(name, SMALL, INPUT) for name in ("a", "b")], QUICK)
    figure = report.comparisons[0].cpu_ratio or report.comparisons[0].wall_ratio
    assert report.comparisons[0].verdict == "no claim" or 0.7 < figure < 1.4


def test_the_report_tells_what_ran_and_how() -> None:
    report = bench([Contender("only", SMALL, INPUT, macs={"conv1": 1, "conv2": 1})], QUICK)
    (model,) = report.models
    assert (model.provider, model.provider_share, model.end_to_end) == (CPU, 1.0, None)
    assert (report.threads, report.batch, report.requested, report.comparisons) == (1, 1, "cpu", ())
    assert report.runs == len(model.wall_ms) >= 30
    assert model.wall.p10_ms <= model.wall.p50_ms <= model.wall.p90_ms <= model.wall.p99_ms
    assert report.drawn_from == ("cpu" if CPU_CLOCK_IS_FINE else "wall")
    assert report.control.low <= report.control.high


def test_several_threads_have_no_processor_time_as_latency() -> None:
    options = replace(QUICK, settings=replace(ON_CPU, threads=2))
    report = bench([Contender("a", SMALL, INPUT), Contender("b", SMALL, INPUT)], options)
    assert report.drawn_from == "wall"
    assert report.comparisons[0].cpu_ratio is None
    assert (report.models[0].cpu, report.models[0].cpu_ms) == (None, ())


def test_inputs_that_do_not_fit_are_told_before_anything_is_timed() -> None:
    with pytest.raises(OnnxPruneError, match="wrong does not run"):
        bench([Contender("wrong", SMALL, {"x": np.ones((1, 3, 16, 16), np.float32)})], QUICK)


def test_half_precision_on_the_cpu_is_doubted() -> None:
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    weights = {"w": np.ones(4, np.float16)}
    model = model_of([node], {"x": [1, 4]}, weights=weights, elements=TensorProto.FLOAT16)
    report = bench([Contender("half", model, {"x": np.ones((1, 4), np.float16)})], QUICK)
    assert any(warning.startswith("W407: half") for warning in report.warnings)


def test_tensors_bound_to_a_device_give_the_same_outputs() -> None:
    session = make_session(SMALL, ON_CPU)
    expected = session.run(INPUT)["y"]
    run = device_run(session, INPUT, device="cpu")
    run()
    host_run(session, INPUT)()
    np.testing.assert_array_equal(session.run(INPUT)["y"], expected)


def test_binding_an_unknown_input_is_told() -> None:
    with pytest.raises(OnnxPruneError):
        device_run(make_session(SMALL, ON_CPU), {"nope": INPUT["x"]}, device="cpu")


def test_channels_that_do_not_fit_blocks_lose_the_blocked_kernel() -> None:
    aligned, odd = (conv_kernels(convolutions(channels), ON_CPU) for channels in (16, 17))
    assert aligned.all == odd.all == 2
    if aligned.blocked == 0:
        pytest.skip("ONNX Runtime has no blocked kernels for this processor")
    assert (aligned, odd) == (ConvKernels(2, 2), ConvKernels(1, 2))


def test_a_file_is_measured_as_its_content_is(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(SMALL)
    assert conv_kernels(path, ON_CPU) == conv_kernels(SMALL, ON_CPU)
    assert list(tmp_path.iterdir()) == [path]


def test_every_node_has_its_time_longest_first() -> None:
    rows = node_latencies(LARGE, INPUT, ON_CPU)
    assert {"Conv"} <= {row.op_type for row in rows} | {row.op_type.removeprefix("Fused") for row in rows}
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert [row.mean_ms for row in rows] == sorted((row.mean_ms for row in rows), reverse=True)
    assert {row.provider for row in rows} == {CPU}


def test_the_first_run_of_a_node_does_not_count() -> None:
    arguments = {"op_name": "Conv", "provider": CPU}
    events = [
        {"cat": "Node", "name": "a_kernel_time", "dur": duration, "args": arguments}
        for duration in (90_000, 1000, 3000)
    ]
    (row,) = node_table([{"cat": "Session", "name": "model_run", "dur": 5, "args": {}}, *events])
    assert (row.name, row.mean_ms, row.share) == ("a", 2.0, 1.0)


def test_the_host_is_recorded() -> None:
    facts = host_facts()
    assert facts.processors >= 1
    assert facts.processor


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, None),
        ({"load_1m": 7.9}, "load 7.9 on 4"),
        ({"governors": ("powersave",)}, "powersave"),
        ({"governors": ("performance",)}, None),
        ({"quota": 0.5}, "0.50 processors"),
    ],
)
def test_what_makes_a_machine_unsteady_is_told(changes, warned: str | None) -> None:
    facts = replace(HostFacts("a processor", 4, (0, 1, 2, 3), None, (), 0.1), **changes)
    assert len(facts.warnings) == (warned is not None)
    assert all(warned in warning for warning in facts.warnings)


@pytest.mark.parametrize(("text", "quota"), [("200000 100000\n", 2.0), ("max 100000\n", None), ("", None)])
def test_the_quota_of_a_container_is_read(text: str, quota: float | None) -> None:
    assert parse_quota(text) == quota


@pytest.mark.gpu
def test_on_a_gpu_the_copies_are_measured_apart() -> None:
    settings = SessionSettings("cuda", require=True)
    lane = make_lane(Contender("a", LARGE, INPUT), settings)
    assert lane.end_to_end is not None
    report = bench(
        [Contender("a", SMALL, INPUT), Contender("b", LARGE, INPUT)], replace(QUICK, settings=settings)
    )
    assert report.drawn_from == "wall"
    for model in report.models:
        assert (model.provider, model.convs, model.cpu) == (CUDA, None, None)
        assert model.end_to_end is not None
