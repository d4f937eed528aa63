"""The training loop: epochs, checkpoints and the log."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxprune.errors import UsageError
from onnxprune.models.batches import Part, batches
from onnxprune.models.recipe import Recipe, learning_rate, make_optimizer
from onnxprune.models.zoo import NETWORKS

Row = dict[str, float]
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Setup:
    """Where and how the arithmetic is done; it moves the weights by rounding only."""

    device: torch.device
    compiled: bool = True  # torch.compile: needs a C++ compiler on the CPU, Triton on a GPU


@torch.no_grad()
def top1(model: nn.Module, part: Part, *, batch: int = 500) -> float:
    """Share of right predictions, in float32."""
    model.eval()
    device = next(model.parameters()).device
    right = 0
    for start in range(0, len(part.labels), batch):
        images = part.images[start : start + batch]
        labels = part.labels[start : start + batch]
        right += int((model(images.to(device)).argmax(1) == labels.to(device)).sum())
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
        """Continue from the checkpoint, in place, where there is one.

        Raises:
            UsageError: The checkpoint was made by another recipe.
        """
        if not self.checkpoint.exists():
            return
        device = next(self.model.parameters()).device
        saved = torch.load(self.checkpoint, weights_only=True, map_location=device)
        if saved["recipe"] != asdict(self.recipe):
            raise UsageError(
                "E205",
                f"{self.checkpoint} was made by another recipe: {saved['recipe']}",
                hint="give the same options, or choose another --out",
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.next_epoch = saved["next_epoch"]

    def save(self) -> None:
        """Write the checkpoint; an interruption leaves the previous one."""
        state = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "next_epoch": self.next_epoch,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def train_step(self, forward: Forward, batch: Part) -> Tensor:
        """One step of the optimizer, in place; the loss."""
        device = batch.images.device
        images = batch.images.to(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.bf16):
            logits = forward(images)
        loss = functional.cross_entropy(logits.float(), batch.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def train_epoch(self, forward: Forward, part: Part) -> float:
        """One epoch, in place; the mean training loss.

        Args:
            forward: The model, or its compiled form.
            part: On the model's device.
        """
        self.model.train()
        recipe = self.recipe
        steps = len(part.labels) // recipe.batch
        losses = []
        shuffled = batches(part, recipe.batch, seed=recipe.seed, epoch=self.next_epoch)
        for index, batch in enumerate(shuffled):
            lr = learning_rate(recipe, self.next_epoch * steps + index, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            losses.append(self.train_step(forward, batch))
        self.next_epoch += 1
        return float(torch.stack(losses).double().mean())


def make_trainer(recipe: Recipe, out: Path, *, device: torch.device) -> Trainer:
    """A trainer at the first epoch, or at the one after the checkpoint in `out`.

    Raises:
        UsageError: The checkpoint was made by another recipe.
    """
    torch.manual_seed(recipe.seed)
    model = NETWORKS[recipe.network]().to(device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(recipe, model, make_optimizer(model, recipe), out / "checkpoint.pt")
    trainer.resume()
    return trainer


def fit(trainer: Trainer, train: Part, search: Part, *, setup: Setup, report: Callable[[Row], None]) -> None:
    """Train to the last epoch, in place; a checkpoint and a reported row after each."""
    forward = torch.compile(trainer.model) if setup.compiled else trainer.model
    train = train.to(setup.device)
    epochs = trainer.recipe.epochs
    while trainer.next_epoch < epochs:
        began = time.monotonic()
        loss = trainer.train_epoch(forward, train)
        trainer.save()
        seconds = time.monotonic() - began
        report(
            {
                "epoch": trainer.next_epoch,
                "loss": round(loss, 4),
                "search_top1": round(top1(trainer.model, search), 4),
                "seconds": round(seconds, 1),
                "eta_minutes": round((epochs - trainer.next_epoch) * seconds / 60, 1),
            }
        )


def log_to(path: Path) -> Callable[[Row], None]:
    """A reporter that appends each row to `path` as one line of JSON."""

    def append(row: Row) -> None:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    return append
