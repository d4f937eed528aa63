"""A small classifier of images on disk, with samples, and masks to try."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from onnxprune.data import Batch
from onnxprune.evaluation import (
    EvaluateOptions,
    Evaluator,
    EvaluatorSpec,
    Grams,
    gather,
    gram_file,
    reward_file,
)
from onnxprune.groups import Groups, find_groups
from onnxprune.onnx_file import load_graph
from tests.law.build import model, save

BODY = (
    "c = Conv<pads=[1,1,1,1]>(x, w1, b1)\nr = Relu(c)\nd = Conv<pads=[1,1,1,1], strides=[2,2]>(r, w2, b2)\n"
    "s = Relu(d)\np = GlobalAveragePool(s)\nf = Flatten(p)\ny = Gemm<transB=1>(f, w3, b3)"
)
ROWS = 240


def network(x: NDArray[np.float32]) -> ModelProto:
    """Of random weights, with outputs that all have their share of the guesses."""
    made = model(
        "float[N,3,8,8] x => float[N,6] y", BODY, w1=(12, 3, 3, 3), b1=12, w2=(20, 12, 3, 3), b2=20,
        w3=(6, 20), b3=6,
    )  # fmt: skip
    found = run(made.SerializeToString(), x)
    for tensor in made.graph.initializer[-2:]:
        old = numpy_helper.to_array(tensor) - (found.mean(0) if tensor.name == "b3" else 0)
        new = (old.T / found.std(0)).T.astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    return made


def run(source: Path | bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@dataclass(frozen=True)
class Setting:
    groups: Groups
    grams: Grams
    calibration: dict[str, NDArray[np.float32]]
    batches: list[Batch]
    folder: Path

    def evaluator(self, **options: object) -> Evaluator:
        return Evaluator(self.groups, self.grams, self.batches, EvaluateOptions(**options))

    def spec(self, **options: object) -> EvaluatorSpec:
        rewards = reward_file(self.batches, self.folder)
        grams = gram_file(self.groups, [self.calibration], self.folder)
        return EvaluatorSpec.of(self.groups, rewards, grams, options=EvaluateOptions(**options))

    def masks(self, count: int, share: float = 0.6, seed: int = 0) -> list[dict[str, NDArray[np.bool_]]]:
        rng = np.random.default_rng(seed)

        def bits(channels: int) -> NDArray[np.bool_]:
            return rng.permutation(channels) < max(1, round(share * channels))

        return [{g.name: bits(g.channels) for g in self.groups.prunable} for _ in range(count)]


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("evaluation")
    rng = np.random.default_rng(5)
    x = rng.standard_normal((ROWS + 64, 3, 8, 8)) + rng.standard_normal((ROWS + 64, 3, 1, 1))
    x = x.astype(np.float32)
    path = save(network(x), folder)
    groups = find_groups(load_graph(path))
    calibration = {"x": x[ROWS:]}
    labels = run(path, x[:ROWS]).argmax(1)
    noisy = rng.random(ROWS) < 0.1
    labels[noisy] = rng.integers(0, 6, int(noisy.sum()))
    batches = [Batch({"x": x[i : i + 50]}, labels[i : min(i + 50, ROWS)]) for i in range(0, 200, 50)]
    batches.append(Batch({"x": x[200:ROWS]}, labels[200:ROWS]))
    return Setting(groups, gather(groups, [calibration]), calibration, batches, folder)
