"""Any ONNX files: half of the MACs by us and by onnxsim.

pip install onnxsim==0.8.1
pip download --no-deps rapidocr_onnxruntime==1.4.4 && unzip rapidocr_onnxruntime-*.whl '*.onnx'
python -m benchmarks.files rapidocr_onnxruntime/models/*.onnx
"""

import tempfile
from pathlib import Path

import click

from benchmarks.peers import cost_of, prune_with_onnxsim
from onnxprune.data import DataOptions, open_data
from onnxprune.errors import OnnxPruneError
from onnxprune.measurement.lanes import Contender
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.timing import Protocol
from onnxprune.onnx_file import load_graph
from onnxprune.pipeline import PruneOptions, prune_file
from onnxprune.target import parse_target


def ours(source: Path, out: Path, share: int) -> str:
    options = PruneOptions(parse_target([f"macs={share}%"]))
    try:
        result = prune_file(source, out, options, force=True)
    except OnnxPruneError as error:
        return f"{error.code}: {error.message}"
    checks = result.report.checks
    return f"verified: {sum(str(c.status) == 'PASS' for c in checks)} of {len(checks)} checks pass"


def cpu_ratios(source: Path, others: list[Path], duration: float) -> list[float]:
    """Processor time of each file by that of the source, under the source's assumed shapes."""
    graph = load_graph(source)
    samples = open_data("random", inputs=graph.inputs, options=DataOptions(count=1, shapes=graph.assumed))
    feeds = next(iter(samples.batches(1))).inputs
    contenders = [Contender(path.name, path, feeds) for path in (source, *others)]
    report = bench(contenders, BenchOptions(protocol=Protocol(duration_s=duration)))
    return [c.cpu_ratio or c.wall_ratio for c in report.comparisons]


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--share", default=50, show_default=True, help="Percent of the MACs to keep.")
@click.option("--duration", default=6.0, show_default=True)
def main(models: tuple[Path, ...], share: int, duration: float) -> None:
    """MACs, params and CPU time of both, beside the original."""
    click.echo("| model | by | MACs | params | CPU time | remarks |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for source in models:
            whole = cost_of(source)
            mine, theirs = Path(folder) / f"ours_{source.name}", Path(folder) / f"onnxsim_{source.name}"
            notes = [ours(source, mine, share)]
            peer = prune_with_onnxsim(source, theirs, macs=whole.macs * share // 100)
            notes.append(peer.note or f"sparsity {peer.sparsity:.2f}")
            made = [path for path in (mine, theirs) if path.exists()]
            ratios = dict(zip(made, cpu_ratios(source, made, duration), strict=True))
            for by, path, note in zip(("onnxprune", "onnxsim"), (mine, theirs), notes, strict=True):
                cost = cost_of(path) if path.exists() else None
                macs = f"{100 * cost.macs / whole.macs:.1f} %" if cost else "-"
                params = f"{100 * cost.params / whole.params:.1f} %" if cost else "-"
                time = f"{ratios[path]:.2f}x" if path in ratios else "-"
                click.echo(f"| {source.stem} | {by} | {macs} | {params} | {time} | {note} |")


if __name__ == "__main__":
    main()
