"""From a finished training to the files that lie in this folder: two exports and their card.

    python -m onnxprune.models.publish runs/resnet20 --data cifar10.npz --out models/resnet20_cifar10

writes models/resnet20_cifar10.onnx (BatchNormalization folded), models/resnet20_cifar10_bn.onnx (kept) and
models/resnet20_cifar10.json, with the accuracy of both files on all test images.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import click
import torch

from onnxprune.data.cifar import MEAN, STD, Cifar10, as_input, read_cifar10, split_search
from onnxprune.errors import UsageError
from onnxprune.models.console import Command
from onnxprune.models.export import (
    INPUT,
    OPSETS,
    OUTPUT,
    BatchNorms,
    Exporter,
    ExportSettings,
    check_export,
    export_onnx,
)
from onnxprune.models.inference import onnx_top1
from onnxprune.models.zoo import load_network

EXPORTER: Exporter = "torchscript"  # its node names say which module they come from


def read_run(run: Path) -> dict[str, object]:
    """The card of a finished training.

    Raises:
        UsageError: The training has not finished.
    """
    path = run / "card.json"
    if not path.exists():
        raise UsageError("E203", f"{path} does not exist", hint="finish the training first")
    card = json.loads(path.read_text())
    assert isinstance(card, dict)
    return card


def describe_file(path: Path, data: Cifar10) -> dict[str, object]:
    """Name, hash and accuracies of one exported file."""
    split = split_search(data)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "test_top1": onnx_top1(path, as_input(data.x_test), data.y_test),
        "search_top1": onnx_top1(path, as_input(split.search_images), split.search_labels),
    }


def export_both(run: Path, network: str, out: Path) -> dict[BatchNorms, Path]:
    """Both files, each compared with torch."""
    model = load_network(network, run / "weights.pt")
    example = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    paths: dict[BatchNorms, Path] = {
        "folded": out.with_name(f"{out.name}.onnx"),
        "kept": out.with_name(f"{out.name}_bn.onnx"),
    }
    for bn, path in paths.items():
        export_onnx(model, path, example=example, settings=ExportSettings(EXPORTER, bn))
        check_export(model, path, example=example)
    return paths


def make_card(
    trained: Mapping[str, object], paths: Mapping[BatchNorms, Path], data: Cifar10
) -> dict[str, object]:
    """What a reader needs to use, judge and repeat the files."""
    recipe = trained["recipe"]
    assert isinstance(recipe, dict)
    network, stem = recipe["network"], paths["folded"].stem
    return {
        "network": network,
        "data": "CIFAR-10; 48,000 training images, 2,000 held out for search, 10,000 test images",
        "recipe": recipe,
        "trained_with": {"torch": trained["torch"], "device": trained["device"]},
        "torch_test_top1": trained["test_top1"],
        "torch_search_top1": trained["search_top1"],
        "input": {
            "name": INPUT,
            "shape": ["batch", 3, 32, 32],
            "layout": "NCHW, RGB",
            "normalisation": "(pixel / 255 - mean) / std",
            "mean": [round(float(value), 4) for value in MEAN],
            "std": [round(float(value), 4) for value in STD],
        },
        "output": {"name": OUTPUT, "shape": ["batch", 10]},
        "exporter": {"name": EXPORTER, "torch": torch.__version__, "opset": OPSETS[EXPORTER]},
        "batch_normalization": {bn: describe_file(path, data) for bn, path in paths.items()},
        "commands": [
            f"python -m onnxprune.models.train {network} --data cifar10.npz --out runs/{network}",
            f"python -m onnxprune.models.publish runs/{network} --data cifar10.npz --out models/{stem}",
        ],
        "repeatable": "to rounding: another processor, thread count or torch gives other last digits",
    }


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="All of CIFAR-10.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Path without suffix.")
def main(run: Path, data: Path, out: Path) -> None:
    """Export the network of a finished training RUN, measure the files, write their card."""
    trained = read_run(run)
    recipe = trained["recipe"]
    assert isinstance(recipe, dict)
    paths = export_both(run, recipe["network"], out)
    card = make_card(trained, paths, read_cifar10(data))
    text = json.dumps(card, indent=2)
    out.with_name(f"{out.name}.json").write_text(text + "\n")
    click.echo(text)


if __name__ == "__main__":
    main()
