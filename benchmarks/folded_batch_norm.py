"""A file without BatchNormalization, distilled in three ways: which one wins back more accuracy.

    python -m benchmarks.folded_batch_norm ORIGINAL.onnx PRUNED.onnx CORRECTED.onnx --data cifar10.npz

CORRECTED is PRUNED after `onnxprune reconstruct --method bias`: its biases give each channel the mean that
the original's channel has. BatchNormalization put back (`--insert-bn`) starts from PRUNED; the weights as
they are (`--no-insert-bn`) are trained from PRUNED and from CORRECTED, at several rates. Weights are chosen
on a part of the training images; the test images are read once a row.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import click

from onnxprune.data import DataOptions, ImageOptions, Samples, choose, open_data
from onnxprune.data.options import Part
from onnxprune.distillation import DistillOptions, TrainingData, distill
from onnxprune.errors import TargetError
from onnxprune.measurement.accuracy import measure
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import Graph, load_graph

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BASE_RATE = 0.02


def part_of(data: str, graph: Graph, part: Part, samples: int | None = None) -> Samples:
    options = DataOptions(images=ImageOptions("nchw", mean=MEAN, std=STD), part=part)
    opened = open_data(data, inputs=graph.inputs, options=options)
    return opened if samples is None else choose(opened, samples)


def accuracy(model: Path, test: Samples) -> float:
    """Top-1 on the test images, in percent."""
    session = make_session(model, SessionSettings(provider="cpu"))
    return 100 * measure(session, test).metrics["top1"]


def scores_of(
    pair: tuple[Graph, Graph], data: TrainingData, runs: Sequence[DistillOptions], test: Samples
) -> list[float]:
    """Accuracy of a student for each set of options; none where one diverges."""
    folder = Path(tempfile.mkdtemp())
    try:
        results = [distill(*pair, data, options, run=folder / str(at)) for at, options in enumerate(runs)]
    except TargetError as error:
        click.echo(error.message, err=True)
        return []
    return [accuracy(result.path, test) for result in results]


@click.command()
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("pruned", type=click.Path(path_type=Path))
@click.argument("corrected", type=click.Path(path_type=Path))
@click.option("--data", required=True)
@click.option("--samples", default=10_000, show_default=True)
@click.option("--epochs", default=8, show_default=True)
@click.option("--seeds", default=2, show_default=True)
def main(
    original: Path, pruned: Path, corrected: Path, data: str, samples: int, epochs: int, seeds: int
) -> None:
    """Test accuracy of each way, mean and spread over the seeds."""
    teacher = load_graph(original)
    learning = TrainingData(part_of(data, teacher, "fit", samples), part_of(data, teacher, "search"))
    test = part_of(data, teacher, "test")
    ways = [("put back", pruned, True, BASE_RATE)]
    ways += [
        (f"{name}, lr {lr:g}", path, False, lr)
        for name, path in (("as it is", pruned), ("bias-corrected", corrected))
        for lr in (BASE_RATE, BASE_RATE / 4, BASE_RATE / 20)
    ]
    for name, path, insert, lr in ways:
        options = [DistillOptions(epochs=epochs, lr=lr, insert_bn=insert, seed=seed) for seed in range(seeds)]
        scores = scores_of((teacher, load_graph(path)), learning, options, test)
        spread = stdev(scores) if len(scores) > 1 else 0.0
        result = f"{mean(scores):6.2f} ± {spread:.2f} %" if scores else "diverges"
        print(f"{name:26} {result}", flush=True)


if __name__ == "__main__":
    main()
