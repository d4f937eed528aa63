"""Accuracy right after pruning, before any recovery, on the CIFAR-10 test images.

    python -m benchmarks.accuracy MODEL.onnx ... --data cifar10.npz \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Criteria that look at activations are calibrated on images of the training part. The test part is read once
a row. Nothing is selected on it: every combination is printed.
"""

from itertools import islice
from pathlib import Path

import click

from onnxprune.criteria import CRITERIA
from onnxprune.data import DataOptions, Samples, open_data
from onnxprune.data.options import ImageText, parse_images
from onnxprune.measurement.accuracy import measure
from onnxprune.measurement.session import make_session
from onnxprune.onnx_file import load_graph
from onnxprune.pipeline import PruneOptions, prune_file
from onnxprune.target import parse_target

CALIBRATION = 256


def opened(path: Path, data: str, images: ImageText, part: str) -> Samples:
    options = DataOptions(images=parse_images(images), part=part)  # type: ignore[arg-type]
    return open_data(data, inputs=load_graph(path).inputs, options=options)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--data", required=True)
@click.option("--mean", required=True)
@click.option("--std", required=True)
@click.option("--target", "targets", multiple=True, default=("macs=50%",), show_default=True)
@click.option(
    "--criterion", "criteria", multiple=True, default=("l1", "group-l2", "act-mean-abs"), show_default=True
)
@click.option("--allocation", "allocations", multiple=True, default=("uniform", "global"), show_default=True)
@click.option("--folder", default=Path(), type=click.Path(path_type=Path), help="Where the pruned models go.")
def main(
    models: tuple[Path, ...],
    data: str,
    mean: str,
    std: str,
    targets: tuple[str, ...],
    criteria: tuple[str, ...],
    allocations: tuple[str, ...],
    folder: Path,
) -> None:
    """One row a model, target, criterion and allocation."""
    images = ImageText(layout="nchw", mean=mean, std=std)
    click.echo(
        "| model | target | criterion | allocation | MACs | params | top-1 |\n|---|---|---|---|---|---|---|"
    )
    for path in models:
        test, fit = (opened(path, data, images, part) for part in ("test", "fit"))
        whole = measure(make_session(path), test).metrics["top1"]
        click.echo(f"| {path.stem} | - | - | - | 100 % | 100 % | {100 * whole:.2f} % |")
        for target in targets:
            for criterion in criteria:
                for allocation in allocations:
                    options = PruneOptions(parse_target([target]), criterion=criterion, allocation=allocation)
                    feeds = (b.inputs for b in islice(fit.batches(64), CALIBRATION // 64))
                    used = feeds if CRITERIA[criterion].needs_data else None
                    out = folder / f"{path.stem}_{criterion}_{allocation}.onnx"
                    result = prune_file(path, out, options, feeds=used, force=True)
                    top1 = measure(make_session(out), test).metrics["top1"]
                    macs, params = (
                        result.after.macs / result.before.macs,
                        result.after.params / result.before.params,
                    )
                    click.echo(
                        f"| {path.stem} | {target} | {criterion} | {allocation} | {100 * macs:.1f} % "
                        f"| {100 * params:.1f} % | {100 * top1:.2f} % |"
                    )


if __name__ == "__main__":
    main()
