"""Train one of the networks on CIFAR-10.

    python -m onnxprune.models.train resnet20 --data cifar10.npz --out runs/resnet20

Recipe: `recipe.py`, with flip and pad-crop augmentation. A checkpoint is written after every epoch; the
same command continues from it. The search images (2,000 of the training part, `split_search`) are held
out from training; the test part is read once, after the last epoch.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, Unpack

import click
import torch

from onnxprune.data.cifar import Cifar10, read_cifar10, split_search
from onnxprune.hardware import has_bfloat16
from onnxprune.models.batches import as_part
from onnxprune.models.console import Command
from onnxprune.models.recipe import Recipe
from onnxprune.models.trainer import Row, Setup, fit, log_to, make_trainer, top1
from onnxprune.models.zoo import NETWORKS


def default_setup() -> Setup:
    """The GPU where there is one."""
    return Setup(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def train_and_test(
    recipe: Recipe,
    data: Cifar10,
    out: Path,
    *,
    setup: Setup,
    report: Callable[[Row], None],
) -> dict[str, object]:
    """Train (or continue), then read the test part once.

    Args:
        recipe: The network and its training.
        data: All of CIFAR-10.
        out: Folder for checkpoint.pt, log.jsonl, weights.pt and card.json.
        setup: The device, and whether torch compiles.
        report: Called after every epoch, beside the log.

    Returns:
        What is written to card.json: recipe, accuracies, torch version, device.

    Raises:
        UsageError: `out` holds a checkpoint of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    split = split_search(data)
    trainer = make_trainer(recipe, out, device=setup.device)
    search = as_part(split.search_images, split.search_labels)
    log = log_to(out / "log.jsonl")

    def log_and_report(row: Row) -> None:
        log(row)
        report(row)

    train = as_part(split.fit_images, split.fit_labels)
    fit(trainer, train, search, setup=setup, report=log_and_report)
    card = {
        "recipe": asdict(recipe),
        "search_top1": top1(trainer.model, search),
        "test_top1": top1(trainer.model, as_part(data.x_test, data.y_test)),
        "torch": torch.__version__,
        "device": setup.device.type,
    }
    torch.save(trainer.model.state_dict(), out / "weights.pt")
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


class Options(TypedDict):
    """The options of the command, as click hands them over."""

    network: str
    data: Path
    out: Path
    epochs: int
    lr: float
    warmup: float
    seed: int
    bf16: bool | None
    compiled: bool
    threads: int


@click.command(cls=Command)
@click.argument("network", type=click.Choice(sorted(NETWORKS)))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="CIFAR-10.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--epochs", default=Recipe.epochs, show_default=True)
@click.option("--lr", default=Recipe.lr, show_default=True, help="Its peak, after the warm-up.")
@click.option(
    "--warmup",
    default=Recipe.warmup_epochs,
    show_default=True,
    type=click.FloatRange(min=0),
    help="In epochs, of the learning rate; a short run needs less.",
)
@click.option("--seed", default=Recipe.seed, show_default=True)
@click.option("--bf16/--no-bf16", default=None, help="By itself, bf16 where the device has it in hardware.")
@click.option("--compile/--no-compile", "compiled", default=True, show_default=True)
@click.option("--threads", default=0, help="Threads of torch on the CPU; 0 leaves its default.")
def main(**options: Unpack[Options]) -> None:
    """Train NETWORK on CIFAR-10; run again to continue after an interruption."""
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    setup, bf16 = default_setup(), options["bf16"]
    recipe = Recipe(
        options["network"],
        epochs=options["epochs"],
        lr=options["lr"],
        warmup_epochs=options["warmup"],
        seed=options["seed"],
        bf16=has_bfloat16(setup.device) if bf16 is None else bf16,
    )
    card = train_and_test(
        recipe,
        read_cifar10(options["data"]),
        options["out"],
        setup=Setup(setup.device, compiled=options["compiled"]),
        report=lambda row: click.echo(json.dumps(row)),
    )
    click.echo(json.dumps(card))


if __name__ == "__main__":
    main()
