"""The shipped ResNet-20 and the shipped CIFAR-10 images: us, uniform l1 and onnxsim at equal MACs, untrained.

    pip install onnxsim==0.8.1
    python -m benchmarks.shipped

Calibration uses search images, accuracy the 2,000 test images; the setting of ours is the one that
`onnxprune demo` chooses on the search images. Latency: processor time, interleaved, one thread.
"""

import tempfile
from pathlib import Path

import click

from benchmarks.peers import cost_of, prune_with_onnxsim
from onnxprune.data import DataOptions, Samples, choose, open_data
from onnxprune.data.cifar import MEAN, STD
from onnxprune.data.cifar_sample import SAMPLE
from onnxprune.data.options import ImageOptions, Part
from onnxprune.measurement.accuracy import measure
from onnxprune.measurement.lanes import Contender
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.session import make_session
from onnxprune.measurement.timing import Protocol
from onnxprune.onnx_file import load_graph
from onnxprune.pipeline import PruneOptions, prune_file
from onnxprune.target import parse_target

MODEL = SAMPLE.with_name("resnet20_cifar10.onnx")


def opened(part: Part) -> Samples:
    images = ImageOptions("nchw", mean=tuple(MEAN.tolist()), std=tuple(STD.tolist()))
    return open_data(
        str(SAMPLE), inputs=load_graph(MODEL).inputs, options=DataOptions(images=images, part=part)
    )


@click.command()
@click.option("--share", default=80, show_default=True, help="Percent of the MACs to keep.")
@click.option("--duration", default=10.0, show_default=True)
def main(share: int, duration: float) -> None:
    """MACs, processor time and top-1 of each."""
    whole = cost_of(MODEL)
    target = parse_target([f"macs={share}%"])
    with tempfile.TemporaryDirectory() as folder:
        files = {"original": MODEL}
        calibration = (b.inputs for b in choose(opened("search"), 500).batches(50))
        options = PruneOptions(target, criterion="act-mean-abs", allocation="global")
        files["onnxprune"] = prune_file(MODEL, Path(folder) / "ours.onnx", options, feeds=calibration).path
        options = PruneOptions(target, criterion="l1", allocation="uniform")
        files["uniform l1"] = prune_file(MODEL, Path(folder) / "l1.onnx", options).path
        peer = Path(folder) / "onnxsim.onnx"
        result = prune_with_onnxsim(MODEL, peer, macs=whole.macs * share // 100)
        if result.cost is None:
            click.echo(f"onnxsim: {result.note}")
        else:
            files["onnxsim 0.8.1"] = peer
        test = opened("test")
        feeds = next(iter(test.batches(1))).inputs
        report = bench(
            [Contender(name, path, feeds) for name, path in files.items()],
            BenchOptions(protocol=Protocol(duration_s=duration)),
        )
        ratios = {c.name: c.cpu_ratio or c.wall_ratio for c in report.comparisons}
        click.echo("| model | MACs | params | CPU time | top-1 |\n|---|---|---|---|---|")
        for name, path in files.items():
            cost, top1 = cost_of(path), measure(make_session(path), test).metrics["top1"]
            click.echo(
                f"| {name} | {100 * cost.macs / whole.macs:.1f} % | {100 * cost.params / whole.params:.1f} % "
                f"| {ratios.get(name, 1.0):.2f}x | {100 * top1:.2f} % |"
            )
        click.echo(
            f"{report.host.processor}; A/A control {report.control.low:.2f} to {report.control.high:.2f}"
        )


if __name__ == "__main__":
    main()
