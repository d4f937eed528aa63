"""The training recipe of the CIFAR-10 networks.

    python -m onnxprune.models.train resnet20 --data cifar10.npz --out runs/resnet20

SGD with Nesterov momentum, linear warm-up and cosine decay, flip and pad-crop augmentation. A checkpoint
is written after every epoch; the same command continues from it. The search images (2,000 of the
training part, `split_search`) are held out from training; the test part is read once, after the last epoch.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onnxprune.data.cifar import MEAN, STD, Cifar10, read_cifar10, split_search
from onnxprune.models.zoo import NETWORKS

PAD = 4


@dataclass(frozen=True)
class Recipe:
    """What decides the trained weights, beside the data."""

    network: str
    epochs: int = 64
    batch: int = 128
    lr: float = 0.1
    warmup_epochs: float = 3.0
    momentum: float = 0.9
    weight_decay: float = 5e-4  # not on biases and BatchNormalization
    seed: int = 0
    bf16: bool = True  # autocast; weights and optimizer stay float32


@dataclass(frozen=True)
class Part:
    """Normalised images (N, 3, 32, 32) float32 with their labels (N,) int64."""

    images: Tensor
    labels: Tensor


def as_part(images: np.ndarray, labels: np.ndarray) -> Part:
    """uint8 (N, 32, 32, 3) images, normalised."""
    scaled = (images.astype(np.float32) / 255 - MEAN) / STD
    return Part(torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels))


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up from 0, then half a cosine down to 0 (SGDR, arXiv 1608.03983, eq. 5)."""
    warmup = recipe.warmup_epochs * steps_per_epoch
    total = recipe.epochs * steps_per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1.0, total - warmup)
    return recipe.lr * 0.5 * (1 + float(np.cos(np.pi * progress)))


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random horizontal flip and random 32x32 crop of the zero-padded image, per image."""
    count, _, height, width = images.shape
    padded = F.pad(images, (PAD, PAD, PAD, PAD))
    top, left = torch.from_numpy(rng.integers(0, 2 * PAD + 1, (2, count)))
    flip = torch.from_numpy(rng.integers(0, 2, count)).bool()
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip[:, None], columns.flip(1), columns) + left[:, None]  # (N, W)
    rows = torch.arange(height) + top[:, None]  # (N, H)
    pick = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[pick, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def batches(part: Part, recipe: Recipe, epoch: int) -> Iterator[Part]:
    """Shuffled, augmented batches; the order depends on the seed and the epoch alone."""
    rng = np.random.default_rng((recipe.seed, epoch))
    order = torch.from_numpy(rng.permutation(len(part.labels)))
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        rows = order[start : start + recipe.batch]
        yield Part(augment(part.images[rows], rng), part.labels[rows])


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others}],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=True,
    )


@torch.no_grad()
def top1(model: nn.Module, part: Part, batch: int = 500) -> float:
    """Share of right predictions, in float32."""
    model.eval()
    device = next(model.parameters()).device
    right = 0
    for images, labels in zip(
        part.images.split(batch), part.labels.split(batch), strict=True
    ):
        right += int((model(images.to(device)).argmax(1).cpu() == labels).sum())
    return right / len(part.labels)


@dataclass
class Trainer:
    """Model, optimizer and the place of their checkpoint."""

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.SGD
    checkpoint: Path
    next_epoch: int = 0

    def resume(self) -> None:
        """Continue from the checkpoint, in place, where there is one."""
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, weights_only=True)
        if saved["recipe"] != asdict(self.recipe):
            raise click.UsageError(
                f"{self.checkpoint} was made by another recipe: {saved['recipe']}; choose another --out"
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.next_epoch = saved["next_epoch"]

    def save(self) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "next_epoch": self.next_epoch,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def train_epoch(self, compiled: nn.Module, part: Part) -> float:
        """One epoch, in place; the mean training loss."""
        self.model.train()
        device = next(self.model.parameters()).device
        steps = len(part.labels) // self.recipe.batch
        losses = []
        for index, batch in enumerate(batches(part, self.recipe, self.next_epoch)):
            lr = learning_rate(self.recipe, self.next_epoch * steps + index, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            images = batch.images.to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.bf16):
                logits = compiled(images)
            loss = F.cross_entropy(logits.float(), batch.labels.to(device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        self.next_epoch += 1
        return float(np.mean(losses))


def fit(trainer: Trainer, train: Part, search: Part, log: Path) -> None:
    """Train to the last epoch, in place, with a checkpoint and a log line after each."""
    compiled = torch.compile(trainer.model)
    while trainer.next_epoch < trainer.recipe.epochs:
        began = time.monotonic()
        loss = trainer.train_epoch(compiled, train)
        trainer.save()
        took = time.monotonic() - began
        left = (trainer.recipe.epochs - trainer.next_epoch) * took
        row = {
            "epoch": trainer.next_epoch,
            "loss": round(loss, 4),
            "search_top1": round(top1(trainer.model, search), 4),
            "seconds": round(took, 1),
            "eta_minutes": round(left / 60, 1),
        }
        click.echo(json.dumps(row))
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")


def make_trainer(recipe: Recipe, out: Path, device: torch.device) -> Trainer:
    torch.manual_seed(recipe.seed)
    model = NETWORKS[recipe.network]().to(device, memory_format=torch.channels_last)
    trainer = Trainer(recipe, model, make_optimizer(model, recipe), out / "checkpoint.pt")
    trainer.resume()
    return trainer


def train_and_test(recipe: Recipe, data: Cifar10, out: Path) -> dict[str, object]:
    """Train (or continue), then read the test part once; writes weights.pt and card.json."""
    out.mkdir(parents=True, exist_ok=True)
    split = split_search(data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = make_trainer(recipe, out, device)
    search = as_part(split.search_images, split.search_labels)
    fit(trainer, as_part(split.fit_images, split.fit_labels), search, out / "log.jsonl")
    card = {
        "recipe": asdict(recipe),
        "search_top1": top1(trainer.model, search),
        "test_top1": top1(trainer.model, as_part(data.x_test, data.y_test)),
        "torch": torch.__version__,
        "device": device.type,
    }
    torch.save(trainer.model.state_dict(), out / "weights.pt")
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


@click.command()
@click.argument("network", type=click.Choice(sorted(NETWORKS)))
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--epochs", default=Recipe.epochs, show_default=True)
@click.option("--lr", default=Recipe.lr, show_default=True)
@click.option("--seed", default=Recipe.seed, show_default=True)
@click.option("--bf16/--no-bf16", default=Recipe.bf16, show_default=True)
@click.option("--threads", default=0, help="Threads of torch; 0 leaves its default.")
def main(
    network: str, data: Path, out: Path, epochs: int, lr: float, seed: int, bf16: bool, threads: int
) -> None:
    """Train NETWORK on CIFAR-10; run again to continue after an interruption."""
    if threads:
        torch.set_num_threads(threads)
    recipe = Recipe(network, epochs=epochs, lr=lr, seed=seed, bf16=bf16)
    card = train_and_test(recipe, read_cifar10(data), out)
    click.echo(json.dumps(card))


if __name__ == "__main__":
    main()
