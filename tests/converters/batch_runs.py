"""Whether a model gives for several samples at once what it gives for each alone, in ONNX Runtime."""

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from onnxprune.converters.batch_axis import FreedBatch, follow_and_free
from onnxprune.models.export import OPSETS, quiet_exporters
from onnxprune.onnx_file import Graph, load_graph
from tests.exported import build, example_input

SAMPLES = 3
TOLERANCE = 2e-4  # of the largest output
Feeds = dict[str, NDArray]


def session_of(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def make_feeds(graph: Graph, batched: tuple[str, ...], rng: np.random.Generator) -> Feeds:
    """Random numbers for each input: `SAMPLES` of those that have a batch, one of the others."""
    feeds = {}
    for value in graph.inputs:
        shape = graph.assumed[value.name]
        shape = (SAMPLES, *shape[1:]) if value.name in batched else shape
        numbers = rng.integers(0, 10, shape) if value.dtype.kind in "iu" else rng.standard_normal(shape)
        feeds[value.name] = numbers.astype(value.dtype)
    return feeds


def error_at_once(
    original: onnx.ModelProto, model: onnx.ModelProto, feeds: Feeds, batched: tuple[str, ...]
) -> float:
    """Largest difference of `model` at once from `original` one by one, relative; inf for a wrong shape."""
    alone = session_of(original)
    rows = [{n: x[i : i + 1] if n in batched else x for n, x in feeds.items()} for i in range(SAMPLES)]
    expected = [np.concatenate(parts) for parts in zip(*(alone.run(None, row) for row in rows), strict=True)]
    got = session_of(model).run(None, feeds)
    if [g.shape for g in got] != [e.shape for e in expected]:
        return np.inf
    return max(
        float(np.abs(g.astype(np.float64) - e).max(initial=0) / max(1e-3, np.abs(e).max(initial=0)))
        for g, e in zip(got, expected, strict=True)
    )


def free_and_compare(graph: Graph, *, seed: int = 0) -> tuple[FreedBatch, float]:
    """What the pass makes of a graph, and its error at several samples; inf where it gave up."""
    before = graph.model.SerializeToString()
    free = follow_and_free(graph)
    assert graph.model.SerializeToString() == before
    if free.model is None:
        return free, np.inf
    feeds = make_feeds(graph, free.inputs, np.random.default_rng(seed))
    return free, error_at_once(graph.model, free.model, feeds, free.inputs)


def load(text: str, folder: Path) -> Graph:
    """A graph from ONNX text."""
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return load_graph(path)


def export_fixed(name: str, exporter: str, folder: Path) -> Path:
    """The ONNX file of network `name`, exported with a batch of 1 and nothing dynamic.

    Args:
        name: A key of `tests.exported.EXPORTED`.
        exporter: "torchscript", "dynamo", or "dynamo_raw" (nothing folded).
        folder: Shared by the workers of a session.
    """
    path = folder / f"{name}-{exporter}-batch1.onnx"
    if path.exists():
        return path
    own = path.with_suffix(f".{os.getpid()}")
    torchscript = exporter == "torchscript"
    options = (
        {} if torchscript else {"external_data": False, "optimize": exporter == "dynamo", "verbose": False}
    )
    with quiet_exporters(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            build(name).eval(),
            (example_input(name, batch=1),),
            str(own),
            dynamo=not torchscript,
            opset_version=OPSETS["torchscript" if torchscript else "dynamo"],
            input_names=["input"],
            **options,
        )
    own.replace(path)
    return path
