"""The peer without training: torch-pruning 1.6.1 at the MACs of benchmarks.reconstruction, no fine-tuning.

    pip install torch-pruning==1.6.1
    python -m benchmarks.reconstruction_peer MODEL_bn.onnx ... --data cifar10.npz

The network in torch with the weights of the file (BatchNormalization kept), its outputs checked against ONNX
Runtime; global pruning in small steps until the MACs of Conv and Linear are at the target, as its own
examples do, one run through all targets. Its taylor criterion reads gradients of training images with
labels, taken anew before each step. Channels are not aligned: it keeps any count.

Its dependency graph passes channel i through the zero-padding of option-A shortcuts as channel i, although
the padding moves it by a quarter of the wider stage: with scope `all` it runs, and what the shortcuts carry
is added to channels that it does not belong to. With scope `inner` (the outputs of residual branches
ignored) nothing of that kind is cut.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.reconstruction import Data, read
from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.models.resnet import BasicBlock, CifarResNet
from onnxprune.onnx_file import load_graph

RENAMED = {"conv1": "stem", "bn1": "bn", "linear": "fc"}
CRITERIA = ("l2", "taylor")
WHOLE, INNER = "all", "inner"


def network(path: Path) -> CifarResNet:
    """The network with the weights of a file; raises AssertionError where the outputs differ."""
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    blocks = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("layer"))
    model = CifarResNet(blocks)
    known = model.state_dict()
    found = {renamed(name, blocks): torch.from_numpy(array.copy()) for name, array in arrays.items()}
    model.load_state_dict({name: found.get(name, known[name]) for name in known})
    missing = [n for n in known if n not in found and not n.endswith("num_batches_tracked")]
    assert not missing, missing
    require_equal(model.eval(), path)
    return model


def renamed(name: str, blocks: int) -> str:
    """layer2.1.conv1.weight is blocks.(blocks + 1).conv1.weight."""
    first, _, rest = name.partition(".")
    if first.startswith("layer"):
        index, _, rest = rest.partition(".")
        return f"blocks.{blocks * (int(first[5:]) - 1) + int(index)}.{rest}"
    return f"{RENAMED.get(first, first)}.{rest}"


def require_equal(model: nn.Module, path: Path) -> None:
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32)).astype(np.float32)
    session = make_session(path.read_bytes(), SessionSettings(provider="cpu"))
    (name,) = (value.name for value in load_graph(path).inputs)
    (expected,) = session.run({name: images}).values()
    with torch.no_grad():
        found = model(torch.from_numpy(images)).numpy()
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def macs_of(model: nn.Module) -> int:
    """Of Conv and Linear, as `onnxprune inspect` counts them."""
    total = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += weight[0].numel() * output.numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return total


def gradients(model: nn.Module, data: Data, images: int) -> None:
    """Of the loss on training images with labels, in place."""
    model.zero_grad()
    for start in range(0, images, 128):
        x = torch.from_numpy(data.calibration[start : start + 128])
        y = torch.from_numpy(data.calibration_labels[start : start + 128].astype(np.int64))
        (functional.cross_entropy(model(x), y, reduction="sum") / images).backward()


def accuracy(model: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    with torch.no_grad():
        parts = [model(torch.from_numpy(images[i : i + 250])).argmax(1) for i in range(0, len(images), 250)]
    return 100 * float((torch.cat(parts).numpy() == labels).mean())


@dataclass(frozen=True)
class Peer:
    """One way to use it: a criterion, and the layers that it may prune."""

    criterion: str
    scope: str
    steps: int
    images: int

    def pruner(self, model: CifarResNet) -> Any:
        import torch_pruning as tp

        imp = tp.importance.GroupMagnitudeImportance(p=2)
        if self.criterion == "taylor":
            imp = tp.importance.GroupTaylorImportance()
        outer = [model.stem, *(b.conv2 for b in model.modules() if isinstance(b, BasicBlock))]
        return tp.pruner.BasePruner(
            model, torch.zeros(1, 3, 32, 32), importance=imp, global_pruning=True, pruning_ratio=1.0,
            max_pruning_ratio=1.0, iterative_steps=self.steps,
            ignored_layers=[model.fc, *(outer if self.scope == INNER else [])],
        )  # fmt: skip

    def run(self, source: CifarResNet, data: Data, targets: list[int], tell: Callable[..., None]) -> None:
        """Prune down to each target in turn; what fails is told."""
        model, seconds = deepcopy(source), 0.0
        pruner = self.pruner(model)
        for target in targets:
            start = process_time()
            while macs_of(model) > target:
                if self.criterion == "taylor":
                    gradients(model, data, self.images)
                pruner.step()
            seconds += process_time() - start
            tell(macs_of(model), accuracy(model, data.test, data.test_labels), seconds)


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--data", required=True)
@click.option("--share", "shares", multiple=True, type=float, default=(70.0, 50.0, 35.0), show_default=True)
@click.option("--criterion", "criteria", multiple=True, type=click.Choice(CRITERIA), default=CRITERIA)
@click.option("--scope", "scopes", multiple=True, type=click.Choice((WHOLE, INNER)), default=(INNER, WHOLE))
@click.option("--steps", default=100, show_default=True, help="Of its iterative pruning, to all channels.")
@click.option("--images", default=128, show_default=True, help="Of each gradient.")
@click.option("--seed", default=0, show_default=True)
def main(
    models: tuple[Path, ...], data: str, shares: tuple[float, ...], criteria: tuple[str, ...],
    scopes: tuple[str, ...], steps: int, images: int, seed: int,
) -> None:  # fmt: skip
    """One row a model, target, criterion and scope: all layers, or those inside blocks alone."""
    torch.set_num_threads(1)
    arrays = read(data, seed)
    click.echo("| model | target | way | MACs | top-1 | seconds |\n|---|---|---|---|---|---|")
    for path in models:
        source, whole = network(path), CostModel(find_groups(load_graph(path))).count({}).macs
        assert macs_of(source) == whole, (macs_of(source), whole)
        for scope in scopes:
            for criterion in criteria:
                left = iter(shares)

                def tell(macs: int, top1: float, seconds: float) -> None:
                    way = f"torch-pruning {criterion} ({scope})"  # noqa: B023
                    share = f"{next(left):.0f}% | {way} | {100 * macs / whole:.1f} %"  # noqa: B023
                    click.echo(f"| {path.stem} | {share} | {top1:.2f} % | {seconds:.0f} |")  # noqa: B023

                peer = Peer(criterion, scope, steps, images)
                try:
                    peer.run(source, arrays, [int(whole * s / 100) for s in shares], tell)
                except Exception as error:  # it has no error type of its own
                    click.echo(
                        f"| {path.stem} | | {criterion} ({scope}) | {str(error).splitlines()[0]} | | |"
                    )


if __name__ == "__main__":
    main()
