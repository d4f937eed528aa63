"""Run an exported network in ONNX Runtime: its outputs and its accuracy."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray


def run_onnx(path: Path, images: NDArray[np.float32], *, batch: int = 500) -> NDArray[np.float32]:
    """The first output for all images, (N, ...), on the CPU with as many threads as torch.

    Args:
        path: An ONNX file with one input.
        images: (N, ...), what that input takes.
        batch: Images in one run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    starts = range(0, len(images), batch)
    return np.concatenate([session.run(None, {name: images[start : start + batch]})[0] for start in starts])


def onnx_top1(path: Path, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of right predictions of the exported network.

    Args:
        path: The ONNX file.
        images: Normalised (N, 3, 32, 32), as `onnxprune.data.cifar.as_input` makes them.
        labels: (N,)
    """
    return float((run_onnx(path, images).argmax(1) == labels).mean())
