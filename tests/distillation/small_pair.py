"""A teacher and a narrower student on 8x8 images, with data: training one takes a fraction of a second."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto

from onnxprune.data.samples import Array, Batch, Samples
from onnxprune.distillation import DistillOptions, TrainingData
from onnxprune.onnx_file import Graph, load_graph
from tests.onnx_file.small_models import normal, parsed

CLASSES, ROWS = 4, 48
QUICK = DistillOptions(
    epochs=3, batch=8, lr=0.05, precision="fp32", compile=False, augment=(), warmup_epochs=0, device="cpu"
)


def network(rng: np.random.Generator, width: int = 8, *, last: str = "y = Identity(g)") -> ModelProto:
    """Conv, BatchNormalization, Relu, Conv, pool, Gemm to scores of classes."""
    return parsed(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        network (float[N, 3, 8, 8] x) => (float[N, {CLASSES}] y) {{
            c = Conv<pads = [1, 1, 1, 1]>(x, conv_w, conv_b)
            n = BatchNormalization(c, scale, shift, mean, variance)
            r = Relu(n)
            d = Conv<strides = [2, 2]>(r, conv2_w, conv2_b)
            s = Relu(d)
            p = GlobalAveragePool(s)
            f = Flatten(p)
            g = Gemm<transB = 1>(f, fc_w, fc_b)
            {last}
        }}""",
        conv_w=normal(rng, width, 3, 3, 3) / 5,
        conv_b=np.zeros(width, np.float32),
        scale=np.ones(width, np.float32),
        shift=np.zeros(width, np.float32),
        mean=np.zeros(width, np.float32),
        variance=np.ones(width, np.float32),
        conv2_w=normal(rng, 6, width, 3, 3) / 8,
        conv2_b=np.zeros(6, np.float32),
        fc_w=normal(rng, CLASSES, 6),
        fc_b=np.zeros(CLASSES, np.float32),
    )


def graph_of(model: ModelProto, path: Path) -> Graph:
    onnx.save(model, path)
    return load_graph(path)


def make_pair(folder: Path, **options: str) -> tuple[Graph, Graph]:
    rng = np.random.default_rng(0)
    models = (network(rng, 8, **options), network(rng, 6, **options))
    return tuple(
        graph_of(m, folder / f"{n}.onnx") for m, n in zip(models, ("teacher", "student"), strict=True)
    )


def images(rows: int = ROWS, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, 3, 8, 8)).astype(np.float32)


def samples_of(x: Array, labels: Array | None = None, *, name: str = "x", source: str = "rows") -> Samples:
    whole = Batch({name: x}, labels)

    def chunks(size: int) -> Iterator[Batch]:
        for start in range(0, len(x), size):
            yield whole.rows(slice(start, start + size))

    return Samples(source, chunks, count=len(x), labelled=labels is not None)


def make_data(*, labelled: bool = True, fit: int = ROWS, search: int = 24) -> TrainingData:
    """Labels by a rule that a small network can learn: which quarter of the range the mean lies in."""
    parts = []
    for seed, rows in ((1, fit), (2, search)):
        labels = np.arange(rows) % CLASSES
        x = images(rows, seed) / 3 + labels[:, None, None, None].astype(np.float32) / 2
        parts.append(samples_of(x, labels if labelled else None, source="fit" if seed == 1 else "search"))
    return TrainingData(*parts)


def arrays(path: Path) -> dict[str, Array]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


Stop = Callable[[], bool]


def stop_after(looks: int) -> Stop:
    """A stop function that is False so many times, then True."""
    seen = iter(range(10**9))
    return lambda: next(seen) >= looks
