"""Finding groups and pruning, beside torch-pruning, in CPU seconds.

    pip install torch-pruning==1.6.1
    python -m benchmarks.groups_and_prune [--repeats 5] [NETWORK ...]

Ours: `find_groups` on the loaded ONNX graph and `prune` at half the channels. Theirs: the dependency graph of
the torch module and removal of the same share of channels of every group. Loading the file and building the
module are left out on both sides; the best of a few repeats counts. Each runs in one thread.
"""

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.networks import NETWORKS, Network, exported
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune


def best(repeats: int, prepare: Callable[[], Any], work: Callable[[Any], Any]) -> float:
    """Least CPU seconds of `work` on what `prepare` makes."""
    times = []
    for _ in range(repeats):
        subject = prepare()
        began = time.process_time()
        work(subject)
        times.append(time.process_time() - began)
    return min(times)


def prune_onnx(graph: Any) -> None:
    groups = find_groups(graph)
    masks = {g.name: np.arange(g.channels) < max(1, g.channels // 2) for g in groups.prunable}
    prune(groups, masks)


def made(network: Network) -> tuple[torch.nn.Module, torch.Tensor]:
    """The module and an image."""
    return network.make().eval(), torch.randn(1, 3, network.size, network.size)


def prune_torch(subject: Any) -> None:
    import torch_pruning as tp

    module, image = subject
    graph = tp.DependencyGraph().build_dependency(module, example_inputs=image)
    last = [m for m in module.modules() if isinstance(m, torch.nn.Linear)][-1]
    for group in graph.get_all_groups(ignored_layers=[last]):
        layer, function = group[0].dep.target.module, group[0].dep.handler
        width = graph.get_out_channels(layer)
        group = graph.get_pruning_group(layer, function, list(range(width // 2)))
        if graph.check_pruning_group(group):
            group.prune()


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(NETWORKS)))
@click.option("--repeats", default=5, show_default=True)
@click.option(
    "--folder", default=Path(tempfile.gettempdir()) / "onnxprune_benchmarks", type=click.Path(path_type=Path)
)
def main(names: tuple[str, ...], repeats: int, folder: Path) -> None:
    """CPU seconds and their ratio for each network."""
    torch.set_num_threads(1)
    ratios = []
    click.echo(f"{'network':<14}{'ours s':>9}{'torch-pruning s':>17}{'ratio':>8}")
    for name in names or NETWORKS:
        path = exported(name, folder)
        ours = best(repeats, partial(load_graph, path), prune_onnx)
        network = NETWORKS[name]
        theirs = best(max(1, repeats // 2), partial(made, network), prune_torch)
        ratios.append(theirs / ours)
        click.echo(f"{name:<14}{ours:>9.3f}{theirs:>17.3f}{theirs / ours:>7.1f}x")
    click.echo(f"geometric mean of the ratios: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.1f}x")


if __name__ == "__main__":
    main()
