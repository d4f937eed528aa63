"""Export a trained network to ONNX, by either of torch's exporters.

    python -m onnxprune.models.export resnet20 --weights runs/resnet20/weights.pt --out resnet20.onnx

Both exporters fold BatchNormalization into the convolution before it unless told otherwise (`--bn kept`).
`torchscript`, the older one, names nodes by their module (/blocks/blocks.0/conv1/Conv); `dynamo` writes the
simpler graph. One file without external data, with a dynamic batch; the result is run beside torch.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import numpy as np
import onnx
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from onnxprune.errors import VerificationError
from onnxprune.models.console import Command
from onnxprune.models.inference import run_onnx
from onnxprune.models.zoo import NETWORKS, load_network

Exporter = Literal["dynamo", "torchscript"]
BatchNorms = Literal["folded", "kept"]

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
OPSETS: dict[Exporter, int] = {"dynamo": 18, "torchscript": 17}  # the exporter's own: no conversion
TOLERANCE = 1e-4
STACK_TRACE = "pkg.torch.onnx.stack_trace"  # holds the paths of the machine that exports


@dataclass(frozen=True)
class ExportSettings:
    """How a network is written."""

    exporter: Exporter = "torchscript"
    bn: BatchNorms = "folded"


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Without what torch says about itself: deprecation notes, absent torchvision, folding limits."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", "Constant folding")
            yield
    finally:
        logger.setLevel(level)


def by_dynamo(model: nn.Module, example: Tensor, *, bn: BatchNorms) -> onnx.ModelProto:
    """The model by torch's default exporter; with BatchNormalization kept, only constants are folded."""
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        opset_version=OPSETS["dynamo"],
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: BATCH},),
        optimize=bn == "folded",
        verbose=False,
    )
    assert program is not None
    if bn == "kept":
        onnxscript.optimizer.fold_constants_ir(program.model)
        onnxscript.optimizer.remove_unused_nodes(program.model)
    proto = program.model_proto
    for node in proto.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != STACK_TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return proto


def by_torchscript(model: nn.Module, example: Tensor, *, bn: BatchNorms) -> onnx.ModelProto:
    """The model by the older exporter; its PRESERVE mode is what leaves BatchNormalization alone."""
    mode = torch.onnx.TrainingMode
    file = io.BytesIO()
    torch.onnx.export(
        model,
        (example,),
        file,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OPSETS["torchscript"],
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
        training=mode.EVAL if bn == "folded" else mode.PRESERVE,
        do_constant_folding=bn == "folded",
    )
    return onnx.load_from_string(file.getvalue())


EXPORTERS = {"dynamo": by_dynamo, "torchscript": by_torchscript}


def export_onnx(
    model: nn.Module, path: Path, *, example: Tensor, settings: ExportSettings = ExportSettings()
) -> None:
    """Write `model`, put into eval mode, to one ONNX file.

    Args:
        model: Takes one tensor and gives one.
        path: Replaced only by a complete file.
        example: An input, (N, ...) with N of at least 2: the batch becomes dynamic.
        settings: Exporter and what becomes of BatchNormalization.

    Example:
        >>> export_onnx(NETWORKS["resnet20"](), Path("r.onnx"), example=torch.rand(2, 3, 32, 32))
    """
    model.eval()
    with quiet_exporters():
        proto = EXPORTERS[settings.exporter](model, example, bn=settings.bn)
    part = path.with_name(path.name + ".part")
    part.write_bytes(proto.SerializeToString())
    part.replace(path)


@torch.no_grad()
def check_export(model: nn.Module, path: Path, *, example: Tensor) -> float:
    """Largest absolute difference between torch and the file, relative to the largest output.

    Raises:
        VerificationError: It is above `TOLERANCE`.
    """
    expected = model.eval()(example).cpu().numpy()
    got = run_onnx(path, example.cpu().numpy())
    difference = float(np.abs(got - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= TOLERANCE:
        raise VerificationError(
            "E801",
            f"{path}: its outputs differ from torch's by {difference:.1e}, allowed {TOLERANCE:.0e}",
            hint="try the other --exporter",
        )
    return difference


@click.command(cls=Command)
@click.argument("network", type=click.Choice(sorted(NETWORKS)))
@click.option("--weights", required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--bn", type=click.Choice(["folded", "kept"]), default="folded", show_default=True)
@click.option("--exporter", type=click.Choice(sorted(EXPORTERS)), default="torchscript")
def main(network: str, weights: Path, out: Path, bn: BatchNorms, exporter: Exporter) -> None:
    """Export NETWORK with trained weights and compare the file with torch."""
    model = load_network(network, weights)
    example = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    export_onnx(model, out, example=example, settings=ExportSettings(exporter, bn))
    click.echo(f"wrote {out}; differs from torch by {check_export(model, out, example=example):.1e}")


if __name__ == "__main__":
    main()
