"""`onnxprune distill`: the student learns from the original, with or without labels."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options
from onnxprune.data import Samples
from onnxprune.errors import DataError, UsageError
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.onnx_file.saving import check_output

if TYPE_CHECKING:
    from onnxprune.distillation import Distilled, DistillOptions, EpochRow, Hooks

INTERRUPTED = 130


@click.command("distill", cls=Command)
@click.argument("original", type=FILE)
@click.argument("student", type=FILE)
@output_options("distill")
@click.option("-o", "--out", required=True, type=FILE, help="Folder of the run; student.onnx lies in it.")
@click.option("--test", metavar="SPEC", help="Read once, at the end, for the accuracy of the written file.")
@click.option("--loss", default="auto", show_default=True, help="auto, kl, mse or cosine.")
@click.option(
    "--alpha", default=0.5, show_default=True, help="Share of the teacher; the rest is the labels'."
)
@click.option("--temperature", default=4.0, show_default=True, help="Softens the class scores of both.")
@click.option("--epochs", default=60, show_default=True)
@click.option("--batch", default=128, show_default=True)
@click.option("--lr", default=0.0, help="Peak of the learning rate; 0.02 for sgd, 0.001 for adamw.")
@click.option("--augment", metavar="NAMES", help="Of flip, crop, cutout, mixup, by commas; or none.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16 or fp16.")
@click.option("--compile/--no-compile", default=None, help="torch.compile; by default where a compiler is.")
@click.option("--seed", default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace an existing student.")
@data_options
def command(
    output: Output,
    original: Path,
    student: Path,
    out: Path,
    test: str | None,
    data: DataSource,
    force: bool,
    **values: Any,
) -> int:
    """Train STUDENT, a pruned form of ORIGINAL, to give what ORIGINAL gives."""
    from onnxprune.distillation import DistillOptions, Hooks, Stopped, TrainingData, distill

    teacher, pruned = load_graph(original), load_graph(student)
    fit, search = (data.open(pruned.inputs, part=part) for part in ("fit", "search"))
    augment = values.pop("augment")
    names = None if augment is None else tuple(n for n in augment.split(",") if n != "none")
    options = DistillOptions(augment=names, **values)
    with stopping() as stop:
        hooks = Hooks(note=output.note, epoch=lambda row: tell_epoch(output, options, row), stop=stop)
        try:
            result = distill(teacher, pruned, TrainingData(fit, search), options, run=out, hooks=hooks)
        except Stopped:
            output.note("stopped")
            return INTERRUPTED
    output.line(f"{result.path}: {result.metric} {result.best_score:.4f}")
    output.finish(asdict(result))
    return 0


@contextmanager
def stopping() -> Iterator[Any]:
    asked: list[int] = []
    old = signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, old)


def tell_epoch(output: Output, options: Any, row: Any) -> None:
    output.note(str(row))
