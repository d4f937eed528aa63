"""Latency of MobileNetV2 (224, random weights): aligned, unaligned and onnxsim's pruning at equal MACs.

    pip install onnxsim==0.8.1
    python -m benchmarks.latency [--duration 20] [--allocation uniform]

One run, interleaved, one thread; the ratio is of processor time to the original's, beside the MACs ratio.
"""

import tempfile
from pathlib import Path

import click

from benchmarks.networks import NETWORKS, exported
from benchmarks.peers import cost_of, prune_with_onnxsim
from onnxprune.measurement.lanes import Contender
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.timing import Protocol
from onnxprune.pipeline import PruneOptions, prune_file
from onnxprune.target import Constraints, parse_target, resolve_align


@click.command()
@click.option("--network", default="mobilenet_v2", type=click.Choice(sorted(NETWORKS)))
@click.option("--duration", default=20.0, show_default=True)
@click.option("--allocation", default="uniform", show_default=True)
@click.option(
    "--folder", default=Path(tempfile.gettempdir()) / "onnxprune_benchmarks", type=click.Path(path_type=Path)
)
def main(network: str, duration: float, allocation: str, folder: Path) -> None:
    """MACs ratio and CPU-time ratio at 75 % and 50 % of the MACs."""
    source = exported(network, folder)
    whole = cost_of(source).macs
    files = {"original": source}
    for share in (75, 50):
        for label, align in (("aligned", "auto"), ("--align 1", "1")):
            options = PruneOptions(
                parse_target([f"macs={share}%"]),
                allocation=allocation,
                constraints=Constraints(align=resolve_align(align)),
            )
            out = folder / f"{network}_{share}_{align}.onnx"
            files[f"{share} % {label}"] = prune_file(source, out, options, force=True).path
        out = folder / f"{network}_{share}_onnxsim.onnx"
        peer = prune_with_onnxsim(source, out, macs=whole * share // 100)
        if peer.cost is None:
            click.echo(f"{share} % onnxsim: {peer.note}")
        else:
            files[f"{share} % onnxsim"] = out
    size = NETWORKS[network].size
    import numpy as np

    feeds = {"input": np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)}
    report = bench(
        [Contender(name, path, feeds) for name, path in files.items()],
        BenchOptions(protocol=Protocol(duration_s=duration)),
    )
    click.echo(f"{report.host.processor}, load {report.host.load_1m}, {report.runs} runs each")
    click.echo(f"{'model':<18}{'MACs':>8}{'CPU time':>10}{'blocked':>10}")
    ratios = {c.name: c.cpu_ratio or c.wall_ratio for c in report.comparisons}
    for model, path in zip(report.models, files.values(), strict=True):
        convs = "-" if model.convs is None else f"{model.convs.blocked}/{model.convs.all}"
        macs = cost_of(path).macs / whole
        click.echo(f"{model.name:<18}{macs:>8.3f}{ratios.get(model.name, 1.0):>9.3f}x{convs:>10}")
    click.echo(f"A/A control {report.control.low:.3f} to {report.control.high:.3f}")


if __name__ == "__main__":
    main()
