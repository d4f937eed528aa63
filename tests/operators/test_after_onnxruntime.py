"""Models that went through the optimizer and the quantiser of ONNX Runtime are pruned as before."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.exported import SMALL, VOCABULARY, export_case
from tests.law.check import Trial, check_law

# the optimizer rewrites integer and quantised operators: sums in another order, rounded another way
TRIAL = Trial(seeds=range(1), limit=VOCABULARY, tolerance=1e-2)
# without these instructions products of eight bits saturate in ONNX Runtime, by where the channels lie
VNNI = torch.cpu._is_vnni_supported()
SOME = (
    "encoder_separate",
    "inverted_residual",
    "language_model",
    "lstm_both_ways",
    "gelu",
    "vision_transformer",
)
NETWORKS = [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in SMALL]


def optimised(source: Path, target: Path) -> Path:
    """As ONNX Runtime writes it for any processor."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return target


def prunable(path: Path) -> int:
    return len(find_groups(load_graph(path)).prunable)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_optimised_model_has_the_groups_of_the_original(
    name: str, exported_folder: Path, tmp_path: Path
) -> None:
    source = export_case(name, "torchscript_bn", exported_folder)
    groups = check_law(optimised(source, tmp_path / "optimised.onnx"), tmp_path, TRIAL)
    assert len(groups.prunable) == prunable(source)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_dynamically_quantised_model_has_the_groups_of_the_original(
    name: str, exported_folder: Path, tmp_path: Path
) -> None:
    source = export_case(name, "torchscript_bn", exported_folder)
    target = tmp_path / "quantised.onnx"
    quantize_dynamic(str(source), str(target))
    groups = check_law(target, tmp_path, TRIAL)
    assert len(groups.prunable) == prunable(source)


class Calibration(CalibrationDataReader):
    """Two batches of noise for one input."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.feeds: Iterator[dict[str, np.ndarray]] = iter(
            [{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(2)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("name", ["residual_option_a", "unet", "squeeze_excite"])
def test_a_statically_quantised_model_has_the_groups_of_the_original(
    name: str, form: QuantFormat, per_channel: bool, exported_folder: Path, tmp_path: Path
) -> None:
    source = export_case(name, "torchscript", exported_folder)
    graph = load_graph(source)
    (entry,) = graph.inputs
    target = tmp_path / "quantised.onnx"
    quantize_static(
        str(source),
        str(target),
        Calibration(entry.name, graph.assumed[entry.name]),
        quant_format=form,
        per_channel=per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=not VNNI,
    )
    groups = check_law(target, tmp_path, TRIAL)
    assert len(groups.prunable) == prunable(source)
