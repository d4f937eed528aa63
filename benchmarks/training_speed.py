"""Seconds of a training step: the round-trip module against the network it was exported from, in one run.

    python -m benchmarks.training_speed [--network resnet20 ...] [--device cpu|cuda] [--compile] [--bf16]

The network is written by hand in torch, exported with its BatchNormalization, and read back. Both take one
batch, forward and backward, in training mode, in turns (A B B A); the ratio is of the medians.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import cast

import click
import torch
from torch import Tensor, nn

from benchmarks.networks import NETWORKS as LARGE
from benchmarks.networks import randomized
from onnxprune.converters import to_torch
from onnxprune.models.export import ExportSettings, export_onnx
from onnxprune.models.zoo import NETWORKS as SMALL
from onnxprune.onnx_file import load_graph

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)


def network_of(name: str) -> tuple[nn.Module, tuple[int, ...], int]:
    """The module, the shape of an image, and a batch that a small machine trains."""
    if name in SMALL:
        return SMALL[name](), CIFAR, 128
    return LARGE[name].make(), IMAGENET, 8


def read_back(module: nn.Module, image: tuple[int, ...], folder: Path) -> nn.Module:
    path = folder / "network.onnx"
    export_onnx(module.eval(), path, example=torch.randn(2, *image), settings=ExportSettings(bn="kept"))
    return to_torch(load_graph(path))


def step_of(module: nn.Module, images: Tensor, *, bf16: bool) -> Callable[[], None]:
    """Forward and backward once; the device has finished when it returns."""

    def step() -> None:
        module.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            loss = module(images).float().square().mean()
        loss.backward()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


def placed(module: nn.Module, device: str, *, compiled: bool) -> nn.Module:
    """In place, ready to be trained."""
    module.to(device).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # is there
    return cast("nn.Module", torch.compile(module)) if compiled else module


def seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def compare(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of each."""
    for step in (ours, theirs, ours, theirs):
        step()
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(rounds):
        for which in (0, 1, 1, 0):
            times[which].append(seconds((ours, theirs)[which]))
    return median(times[0]), median(times[1])


@click.command()
@click.option("--network", "names", multiple=True, default=("resnet20", "resnet56", "mobilenet_v2"))
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--compile", "compiled", is_flag=True)
@click.option("--bf16", is_flag=True)
def main(names: tuple[str, ...], device: str, threads: int, rounds: int, compiled: bool, bf16: bool) -> None:
    """A row for each network: batch, milliseconds of ours and of the original, and their ratio."""
    torch.set_num_threads(threads)
    for name in names:
        network, image, batch = network_of(name)
        module = randomized(network)
        with tempfile.TemporaryDirectory() as folder:
            twin = read_back(module, image, Path(folder))
        images = torch.randn(batch, *image, device=device).to(memory_format=torch.channels_last)
        our_step, their_step = (
            step_of(placed(m, device, compiled=compiled), images, bf16=bf16) for m in (twin, module)
        )
        ours, theirs = compare(our_step, their_step, rounds)
        milliseconds = f"{1e3 * ours:8.1f} ms  {1e3 * theirs:8.1f} ms"
        print(f"{name:14} batch {batch:4}  {milliseconds}  {ours / theirs:.3f}x")


if __name__ == "__main__":
    main()
