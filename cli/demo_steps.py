"""The steps of `onnxprune demo`, each with the command that does the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onnxprune.allocation import allocate
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource
from onnxprune.cli.format import percent
from onnxprune.cli.inspect_tables import print_groups, print_head
from onnxprune.cli.reports import print_report
from onnxprune.cli.timing import load_subjects, make_contenders, print_latency
from onnxprune.cost import CostModel
from onnxprune.criteria import Feed, score
from onnxprune.data import DataOptions, Samples, choose
from onnxprune.data.cifar import MEAN, STD
from onnxprune.data.cifar_sample import SAMPLE
from onnxprune.data.options import ImageOptions, Part
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks, save_masks
from onnxprune.measurement import BenchOptions, Protocol, SessionSettings, bench, make_session, measure
from onnxprune.measurement.accuracy import MeasureOptions
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.onnx_file import load_graph
from onnxprune.pipeline import Pruned, write_pruned
from onnxprune.pruning import prune
from onnxprune.target import Constraints, parse_target, resolve_align

MODEL = SAMPLE.with_name("resnet20_cifar10.onnx")
FILES = ("pruned.onnx", "pruned_align1.onnx", "masks.json")
TRIED = (  # the last target is the smallest
    ("macs=90%", ("l1", "wanda", "act-mean-abs")),
    ("macs=80%", ("wanda", "act-mean-abs")),
)
ALLOCATION = "global"
CALIBRATION, BATCH, PROOF = 500, 50, 8  # images
MOST_LOST = 0.10  # top-1 on the search images
SECONDS = 4.0
ONE_THREAD = SessionSettings(threads=1)
IMAGES = ImageOptions("nchw", tuple(map(float, MEAN)), tuple(map(float, STD)))
HOW = "--layout nchw --mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616"


@dataclass(frozen=True)
class Look:
    """The original: its channels, its cost, the images to choose on, and its top-1 on them."""

    groups: Groups
    cost: CostModel
    search: Samples
    top1: float

    @property
    def path(self) -> Path:
        return self.groups.graph.path

    def feeds(self, count: int, size: int) -> Iterable[Feed]:
        """Calibration inputs: the same rows that `--part search --samples COUNT` takes."""
        return (batch.inputs for batch in choose(self.search, count).batches(size))


@dataclass(frozen=True)
class Tried:
    """A way to prune, and what it left of the accuracy on the search images."""

    criterion: str
    target: str
    masks: Masks
    macs: int
    top1: float


@dataclass(frozen=True)
class Accuracy:
    """On the test images: top-1 before and after, and how often both say the same."""

    before: float
    after: float
    agreement: float
    images: int


def source(part: Part) -> DataSource:
    return DataSource(str(SAMPLE), DataOptions(part=part, images=IMAGES))


def look(output: Output, model: Path) -> Look:
    """Step 1: what the model is."""
    output.line(f"MODEL={model}\nDATA={SAMPLE}\n")
    output.line("1. What can go?   $ onnxprune inspect $MODEL", "bold")
    groups = find_groups(load_graph(model))
    cost = CostModel(groups)
    print_head(output, groups, cost.count({}))
    print_groups(output, groups, cost, Constraints())
    search = source("search").open(groups.graph.inputs)
    assert search is not None
    return Look(groups, cost, search, top1_of(model, search))


def top1_of(model: Path | bytes, samples: Samples) -> float:
    session = make_session(model, ONE_THREAD, name="the pruned model")
    return measure(session, samples, options=MeasureOptions(("top1",))).metrics["top1"]


def try_out(output: Output, original: Look) -> Tried:
    """Step 2: criteria and targets on the search images; the smallest target that loses little."""
    output.line("2. Which criterion, how far? Chosen on the 2,000 search images alone.", "bold")
    output.line(f"\n   {'original':<28} 100.0 % of the MACs   top-1 {100 * original.top1:.1f} %")
    whole, best = original.cost.count({}).macs, None
    for target, criteria in TRIED:
        tried = [try_one(original, criterion, target) for criterion in criteria]
        for each in tried:
            share = percent(each.macs, whole)
            way = f"{each.criterion:<13} {target:<14} {share:>7}"
            output.line(f"   {way} of the MACs   top-1 {100 * each.top1:.1f} %")
        first = max(tried, key=lambda each: each.top1)
        best = first if best is None or original.top1 - first.top1 <= MOST_LOST else best
    assert best is not None
    output.line(
        f"\n   Taken: {best.criterion} at {best.target}, the smallest of these that loses at most "
        f"{100 * MOST_LOST:.0f} points.\n"
    )
    return best


def try_one(original: Look, criterion: str, target: str) -> Tried:
    groups, cost = original.groups, original.cost
    scores = score(groups, criterion, feeds=original.feeds(CALIBRATION, BATCH))
    masks = allocate(scores, cost, target=parse_target([target]), constraints=Constraints(), how=ALLOCATION)
    top1 = top1_of(prune(groups, masks).SerializeToString(), original.search)
    return Tried(criterion, target, masks, cost.count(masks).macs, top1)


def prune_both(output: Output, original: Look, chosen: Tried, folder: Path) -> tuple[Pruned, Pruned]:
    """Step 3: the pruned model, proven; and one to the same target without alignment."""
    output.line("3. Prune and prove.", "bold")
    output.line(
        f"   $ onnxprune prune $MODEL -o {FILES[0]} --target {chosen.target} \\\n"
        f"       --criterion {chosen.criterion} --allocation {ALLOCATION} \\\n"
        f"       --data $DATA --part search --samples {CALIBRATION} {HOW}\n"
    )
    samples = list(original.feeds(PROOF, 1))
    aligned = write_pruned(original.groups, chosen.masks, folder / FILES[0], samples=samples, force=True)
    print_report(output, aligned.report)
    save_masks(folder / FILES[2], chosen.masks, original.groups, align="auto")
    loose = Constraints(align=resolve_align("1"))
    scores = score(original.groups, chosen.criterion, feeds=original.feeds(CALIBRATION, BATCH))
    masks = allocate(
        scores, original.cost, target=parse_target([chosen.target]), constraints=loose, how=ALLOCATION
    )
    unaligned = write_pruned(original.groups, masks, folder / FILES[1], samples=samples, force=True)
    output.line(f"\n   And {FILES[1]}: the same with --align 1, channel counts as they come.\n")
    return aligned, unaligned


def compare_times(output: Output, original: Look, files: tuple[Pruned, Pruned]) -> LatencyReport:
    """Step 4: latency, interleaved."""
    output.line(f"4. Is it faster?   $ onnxprune bench $MODEL {FILES[0]} {FILES[1]}", "bold")
    subjects = load_subjects([original.path, *(file.path for file in files)], {})
    options = BenchOptions(SessionSettings(provider="cpu"), Protocol(duration_s=SECONDS))
    report = bench(make_contenders(subjects, source("search"), 1), options)
    print_latency(output, report, subjects)
    return report


def final_test(output: Output, original: Look, files: tuple[Pruned, Pruned]) -> Accuracy:
    """Step 5: the test images, once."""
    output.line(
        f"\n5. What did it cost? Once, on the 2,000 test images.\n"
        f"   $ onnxprune compare $MODEL {FILES[0]} --data $DATA --part test \\\n       {HOW}",
        "bold",
    )
    samples = source("test").open(original.groups.graph.inputs)
    assert samples is not None
    reference = make_session(original.path, ONE_THREAD)
    before = measure(reference, samples, options=MeasureOptions(("top1",)))
    after = measure(
        make_session(files[0].path, ONE_THREAD),
        samples,
        options=MeasureOptions(("top1", "agreement")),
        reference=reference,
    )
    for warning in after.warnings:
        output.warn(warning)
    figures = after.metrics
    return Accuracy(before.metrics["top1"], figures["top1"], figures["agreement"], after.samples)
