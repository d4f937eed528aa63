"""The steps of `onnxprune demo`, each with the command that does the same."""

import importlib.util
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource
from onnxprune.cli.inspect_tables import print_groups, print_head
from onnxprune.cli.search_bar import SearchBar
from onnxprune.cli.timing import load_subjects, make_contenders, print_latency
from onnxprune.compression import CompressOptions, Listener, RunFolder, compress, start
from onnxprune.compression.config import make_options
from onnxprune.compression.variants import write_unsearched
from onnxprune.cost import CostModel
from onnxprune.data import DataOptions
from onnxprune.data.cifar_sample import SAMPLE
from onnxprune.data.options import parse_images
from onnxprune.groups import find_groups
from onnxprune.measurement import BenchOptions, Protocol, SessionSettings, bench
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.onnx_file import load_graph
from onnxprune.target import Constraints

MODEL = SAMPLE.with_name("resnet20_cifar10.onnx")
COMPARED = {"auto": "pruned_aligned.onnx", "1": "pruned_align1.onnx"}  # by alignment
SECONDS = 3.0
# Key and value of each option, with the word that stands for it on the command line.
CHOSEN: dict[str, tuple[str, Any]] = {
    "target": ("--target", ("macs=50%",)),
    "search.evaluations": ("--evaluations", 64),
    "search.batch": ("--search-batch", 8),
    "images.layout": ("--layout", "nchw"),
    "images.mean": ("--mean", "0.4914,0.4822,0.4465"),
    "images.std": ("--std", "0.2470,0.2435,0.2616"),
    "reconstruct.rows": ("--calibration", 1000),
    "distill.alpha": ("--alpha", 1.0),
    "distill.epochs": ("--epochs", 20),
    "distill.batch": ("--batch", 64),
    "distill.lr": ("--lr", 0.001),
    "distill.ema": ("--ema", 0.98),
    "distill.precision": ("--precision", "fp32"),
    "distill.compile": ("--no-compile", False),
}


def options() -> CompressOptions:
    """What the demo asks for; without torch there is no distillation."""
    values = {key: value for key, (_, value) in CHOSEN.items()}
    if importlib.util.find_spec("torch") is None:
        values["distill.enabled"] = False
    return make_options({**values, "model": str(MODEL), "data": str(SAMPLE)})


def words(chosen: CompressOptions) -> list[str]:
    """The command line that does the same, without the model and the samples."""
    found = []
    for key, (flag, value) in CHOSEN.items():
        if key.startswith("distill.") and not chosen.distill.enabled:
            continue
        written = () if isinstance(value, bool) else value if isinstance(value, tuple) else (str(value),)
        found += [flag, *written]
    return found if chosen.distill.enabled else [*found, "--no-distill"]


def look(output: Output) -> None:
    """Step 1: what the model is."""
    output.line(f"MODEL={MODEL}\nDATA={SAMPLE}\n")
    output.line("1. What can go?   $ onnxprune inspect $MODEL", "bold")
    groups = find_groups(load_graph(MODEL))
    cost = CostModel(groups)
    print_head(output, groups, cost.count({}))
    print_groups(output, groups, cost, Constraints())


def run_all(output: Output, folder: Path, *, force: bool) -> RunFolder:
    """Step 2: the whole path."""
    chosen = options()
    output.line("2. Half of the MACs: search, prune, reconstruct, distill, choose, measure.", "bold")
    lines = shlex.join(words(chosen)).replace(" --", " \\\n       --")
    output.line(f"   $ onnxprune compress $MODEL -o RUN --data $DATA {lines}\n")
    if importlib.util.find_spec("torch") is None:
        output.warn("torch is not installed: the demo goes without distillation (pip install torch)")
    run = start(chosen, folder, words(chosen), force=force)
    with ExitStack() as stack:
        compress(run, listener_of(output, run, SearchBar(output, stack)))
    return run


def listener_of(output: Output, run: RunFolder, bar: SearchBar) -> Listener:
    """A line for each box, and a bar while it searches."""

    def box(name: str, state: str) -> None:
        bar.close()
        seconds = run.box(name).get("seconds")
        if state in ("done", "skipped"):
            output.line(f"   {name:<12} {state if state == 'done' else 'left out'}, {seconds:.0f} s")

    return Listener(output.note, output.warn, box, bar.step)


def compare_times(output: Output, run: RunFolder) -> LatencyReport:
    """Step 3: the same target with and without alignment, nothing else between them, and what it costs."""
    output.line(
        "3. Why alignment? The criterion alone with it, and with --align 1: counts as they come.", "bold"
    )
    models = [
        write_unsearched(options(), run, run.path / name, align=align) for align, name in COMPARED.items()
    ]
    output.line(f"   $ onnxprune bench $MODEL {' '.join(f'RUN/{model.name}' for model in models)}")
    subjects = load_subjects([MODEL, *models], {})
    settings = BenchOptions(SessionSettings(provider="cpu"), Protocol(duration_s=SECONDS))
    report = bench(make_contenders(subjects, source(), 1), settings)
    print_latency(output, report, subjects)
    return report


def source() -> DataSource:
    return DataSource(str(SAMPLE), DataOptions(part="search", images=parse_images(options().images)))
