"""Torch networks exported to ONNX, for tests that prune what users really have.

    path = export_case("unet", "dynamo", folder)      # exported once, then found in `folder`

`EXPORTED` names the networks, `EXPORTERS` the ways; `SMALL` is `EXPORTED` without the CIFAR networks. The
weights are random but seeded and as a training leaves them: no two biases alike, BatchNormalization
statistics that fit the data. The five files of a network give the same outputs (`test_exported.py`).
"""

import contextlib
import functools
import os
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import torch
from torch import Tensor, nn

from onnxprune.models.export import OPSETS, ExportSettings, export_onnx, quiet_exporters
from onnxprune.models.zoo import NETWORKS
from tests.networks.convolutional import CONVOLUTIONAL
from tests.networks.sequential import SEQUENTIAL, TOKENS, VOCABULARY
from tests.networks.spatial import SPATIAL

# Where torch keeps it; without this a small export takes twice as long.
with contextlib.suppress(ImportError, AttributeError):
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    # torch builds its table of translations anew for every export, always the same without a custom one
    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))


class Export(Protocol):
    """Writes a network to an ONNX file; the example says what it takes."""

    def __call__(self, model: nn.Module, path: Path, *, example: Tensor) -> None: ...


def export_raw(model: nn.Module, path: Path, *, example: Tensor) -> None:
    """torch's default exporter with `optimize=False`: constants computed in the graph, nothing fused."""
    torch.onnx.export(
        model,
        (example,),
        path,
        dynamo=True,
        external_data=False,
        opset_version=OPSETS["dynamo"],
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
        optimize=False,
        verbose=False,
    )


SMALL: dict[str, Callable[[], nn.Module]] = {**CONVOLUTIONAL, **SPATIAL, **SEQUENTIAL}
EXPORTED: dict[str, Callable[[], nn.Module]] = {**NETWORKS, **SMALL}

EXPORTERS: dict[str, Export] = {
    "dynamo": functools.partial(export_onnx, settings=ExportSettings("dynamo", "folded")),
    "dynamo_bn": functools.partial(export_onnx, settings=ExportSettings("dynamo", "kept")),
    "dynamo_raw": export_raw,
    "torchscript": functools.partial(export_onnx, settings=ExportSettings("torchscript", "folded")),
    "torchscript_bn": functools.partial(export_onnx, settings=ExportSettings("torchscript", "kept")),
}
# What tests take unless they are slow: one way of each exporter, both with and without BatchNormalization.
FAST = ("torchscript_bn", "dynamo")
EXPORTED_BY = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in EXPORTERS]

SEQUENCE = (TOKENS, 6)
SHAPES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(SEQUENTIAL, SEQUENCE),
    "token_encoder": (TOKENS,),
    "language_model": (TOKENS,),
    "vision_transformer": (3, 32, 32),
    "mixer": (3, 32, 32),
    "conv1d": (3, 20),
    "conv3d": (2, 8, 8, 8),
}
IMAGE = (3, 32, 32)
TOKEN_NETWORKS = {"token_encoder", "language_model"}


def example_input(name: str, *, batch: int = 3, seed: int = 0) -> Tensor:
    """An input of network `name`: (batch, ...), normal, or token numbers."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *SHAPES.get(name, IMAGE))
    if name in TOKEN_NETWORKS:
        return torch.randint(0, VOCABULARY, shape, generator=generator)
    return torch.randn(shape, generator=generator)


@torch.no_grad()
def randomise(model: nn.Module, example: Tensor, *, seed: int) -> None:
    """Weights as after a training, in place; `example` gives BatchNormalization its statistics."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.squeeze().ndim <= 1:  # biases, gains, slopes
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
    if norms:
        model.train()(example)
    model.eval()


def build(name: str) -> nn.Module:
    """Network `name` in eval mode; always the same weights."""
    seed = zlib.crc32(name.encode())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EXPORTED[name]()
    randomise(model, example_input(name, batch=8, seed=1), seed=seed)
    return model


def export_case(name: str, exporter: str, folder: Path) -> Path:
    """The ONNX file of network `name` by `exporter`, made in `folder` unless it is there.

    Args:
        name: A key of `EXPORTED`.
        exporter: A key of `EXPORTERS`.
        folder: The fixture `exported_folder`: one for the session, shared by its workers.
    """
    path = folder / f"{name}-{exporter}.onnx"
    if path.exists():
        return path
    own = folder / f"{name}-{exporter}-{os.getpid()}.onnx"  # workers may make the same file at once
    with quiet_exporters(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # recurrent operators and a changing batch
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # shapes that are constant here
        EXPORTERS[exporter](build(name), own, example=example_input(name))
    own.replace(path)
    return path
