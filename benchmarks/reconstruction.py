"""Accuracy after pruning and closed-form repair, without training, on the CIFAR-10 test images.

    python -m benchmarks.reconstruction MODEL.onnx ... --data cifar10.npz

The data: x_train, y_train, x_test, y_test, images in uint8 NHWC. Calibration and choice of the allocation
see training images alone (disjoint ones); the test images are read once a row. Seconds: of processor time,
one thread. The peer's rows: benchmarks.reconstruction_peer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import click
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.allocation import allocate
from onnxprune.cost import CostModel
from onnxprune.criteria import score
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.reconstruction import ReconstructOptions, reconstruct
from onnxprune.target import Constraints, parse_target, resolve_align

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
CALIBRATION, HELD_OUT = 1024, 2000
TRIAL_IMAGES, TRIAL_ROWS = 256, 1 << 14  # to choose the allocation by
ALLOCATIONS = ("absolute", "per-mac", "global")
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    calibration: Images
    calibration_labels: NDArray[np.int64]
    held_out: Images
    held_out_labels: NDArray[np.int64]
    test: Images
    test_labels: NDArray[np.int64]


def read(path: str, seed: int) -> Data:
    arrays = np.load(path)
    order = np.random.default_rng(seed).permutation(len(arrays["x_train"]))
    fit, held = order[:CALIBRATION], order[CALIBRATION : CALIBRATION + HELD_OUT]
    x, y = arrays["x_train"], arrays["y_train"].reshape(-1)
    return Data(
        normalised(x[fit]), y[fit], normalised(x[held]), y[held],
        normalised(arrays["x_test"]), arrays["y_test"].reshape(-1),
    )  # fmt: skip


def normalised(images: NDArray[np.uint8]) -> Images:
    return np.ascontiguousarray(((images.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2))


def top1(model: ModelProto, images: Images, labels: NDArray[np.int64]) -> float:
    session = make_session(model.SerializeToString(), SessionSettings(provider="cpu"))
    name = model.graph.input[0].name
    found = [session.run({name: images[i : i + 250]}) for i in range(0, len(images), 250)]
    guesses = np.concatenate([next(iter(values.values())).argmax(1) for values in found])
    return 100 * float((guesses == labels).mean())


@dataclass(frozen=True)
class Bench:
    groups: Groups
    cost_model: CostModel
    data: Data
    share: str
    allocations: tuple[str, ...] = ALLOCATIONS

    def feeds(self, count: int = CALIBRATION) -> list[dict[str, Images]]:
        return [{self.groups.graph.inputs[0].name: self.data.calibration[:count]}]

    def masks(self, scores: dict[str, NDArray[np.float64]], allocation: str) -> Masks:
        target, aligned = (
            parse_target([f"macs={self.share}"]),
            Constraints(align=resolve_align("8", provider="cpu")),
        )
        return allocate(scores, self.cost_model, target=target, constraints=aligned, how=allocation)

    def repaired(self, masks: Masks, options: ReconstructOptions) -> ModelProto:
        return reconstruct(self.groups, masks, self.feeds(), options=options)

    def chosen(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """The allocation that is best on held-out training images, after a cheap repair on few images."""
        if len(self.allocations) == 1:
            return self.allocations[0]
        quick = ReconstructOptions(passes=0, rows=TRIAL_ROWS)

        def accuracy(allocation: str) -> float:
            masks = self.masks(scores, allocation)
            model = reconstruct(self.groups, masks, self.feeds(TRIAL_IMAGES), options=quick)
            return top1(model, self.data.held_out, self.data.held_out_labels)

        return max(self.allocations, key=accuracy)

    def row(self, name: str, masks: Masks, make: Callable[[], ModelProto], *, extra: float = 0.0) -> None:
        start = process_time()
        model = make()
        seconds = process_time() - start + extra
        macs = self.cost_model.count(masks).macs / self.cost_model.count({}).macs
        accuracy = top1(model, self.data.test, self.data.test_labels)
        stem = self.groups.graph.path.stem
        click.echo(
            f"| {stem} | {self.share} | {name} | {100 * macs:.1f} % | {accuracy:.2f} % | {seconds:.0f} |"
        )


def by_magnitude(bench: Bench) -> None:
    plain = bench.masks(score(bench.groups, "group-l2"), "uniform")
    bench.row("group-l2", plain, lambda: prune(bench.groups, plain))
    bench.row("+ bias", plain, lambda: bench.repaired(plain, ReconstructOptions("bias")))
    bench.row("+ moments", plain, lambda: bench.repaired(plain, ReconstructOptions("moments")))
    bench.row("+ least squares", plain, lambda: bench.repaired(plain, ReconstructOptions()))


def by_surgery(bench: Bench) -> None:
    start = process_time()
    scores = score(bench.groups, "obs", feeds=bench.feeds())
    seconds = process_time() - start
    allocation = bench.chosen(scores)
    masks = bench.masks(scores, allocation)
    bench.row(f"obs ({allocation})", masks, lambda: prune(bench.groups, masks), extra=seconds)
    bench.row(
        f"obs ({allocation}) + least squares", masks, lambda: bench.repaired(masks, ReconstructOptions()),
        extra=seconds,
    )  # fmt: skip


WAYS = {"group-l2": by_magnitude, "obs": by_surgery}


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--data", required=True)
@click.option("--share", "shares", multiple=True, default=("70%", "50%", "35%"), show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--allocation", "allocations", multiple=True, default=ALLOCATIONS, show_default=True,
    type=click.Choice(ALLOCATIONS), help="Those to choose from; one alone is taken untried.",
)  # fmt: skip
@click.option(
    "--criterion",
    "criteria",
    multiple=True,
    default=list(WAYS),
    type=click.Choice(list(WAYS)),
    show_default=True,
)
def main(
    models: tuple[Path, ...], data: str, shares: tuple[str, ...], seed: int,
    allocations: tuple[str, ...], criteria: tuple[str, ...],
) -> None:  # fmt: skip
    """One row a model, target and way."""
    images = read(data, seed)
    click.echo("| model | target | way | MACs | top-1 | seconds |\n|---|---|---|---|---|---|")
    for path in models:
        groups = find_groups(load_graph(path))
        for share in shares:
            for criterion in criteria:
                WAYS[criterion](Bench(groups, CostModel(groups), images, share, allocations))


if __name__ == "__main__":
    main()
