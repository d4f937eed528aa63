"""`onnxprune measure`: accuracy on labelled samples, or agreement with the original."""

from dataclasses import asdict
from pathlib import Path

import click

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options, provider_option, require_option
from onnxprune.errors import DataError
from onnxprune.measurement.accuracy import Measurement, MeasureOptions, measure
from onnxprune.measurement.metrics import METRICS
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import load_graph

FRACTIONS = ("top1", "top5", "agreement")


@click.command("measure", cls=Command)
@click.argument("model", type=FILE)
@output_options("measure")
@click.option("--reference", type=FILE, help="The original, for metrics that compare with it.")
@click.option(
    "--metric", metavar="NAMES", help=f"Of {', '.join(METRICS)}, package.module:function; by commas."
)
@click.option("--output-name", default="", metavar="NAME", help="The output looked at; else the first.")
@click.option(
    "--batch", default=64, show_default=True, type=click.IntRange(1), metavar="N", help="Rows at a time."
)
@provider_option
@require_option
@click.option(
    "--threads",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Of one operator; 0 leaves it to ONNX Runtime.",
)
@click.option("--seed", default=0, show_default=True, help="Of --samples and of the division into parts.")
@data_options
def command(
    output: Output,
    model: Path,
    data: DataSource,
    reference: Path | None,
    metric: str | None,
    output_name: str,
    batch: int,
    provider: str,
    require_provider: bool,
    threads: int,
    seed: int,
) -> None:
    """Accuracy of MODEL where the samples have labels, else its agreement with --reference."""
    graph = load_graph(model)
    samples = data.open(graph.inputs)
    if samples is None:
        raise DataError("E504", "nothing to measure on", hint="give samples: --data val.npz")
    settings = SessionSettings(provider=provider, require=require_provider, threads=threads)
    session = make_session(model, settings)
    options = MeasureOptions(tuple(metric.split(",")) if metric else (), batch, output_name)
    original = None if reference is None else make_session(reference, settings)
    with output.progress("measuring", samples.count) as step:
        result = measure(
            session, samples, options=options, reference=original, progress=lambda done, _: step(done)
        )
    print_measurement(output, model.name, result)
    output.finish({"model": str(model), "data": samples.source, **asdict(result)})


def print_measurement(output: Output, name: str, result: Measurement) -> None:
    output.table(["metric", name], [[key, figure(key, value)] for key, value in result.metrics.items()])
    output.line(f"{result.samples} samples on {result.provider}")
    for warning in result.warnings:
        output.warn(warning)


def figure(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.6g}"
