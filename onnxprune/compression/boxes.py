"""The boxes of a run: each a function from files to files, told by the names of what it wrote."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.calibration.feeds import few_feeds
from onnxprune.compression.asking import NONE, Asked, asked_agent
from onnxprune.compression.files import SEARCHED
from onnxprune.compression.inputs import Parts, counted_by, open_parts, prune_options
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import CompressOptions
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.data import Samples, choose
from onnxprune.groups import Groups
from onnxprune.latency import TimedCostModel, judged
from onnxprune.latency.run_file import read_table
from onnxprune.masks import Masks, load_masks, save_masks
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.saving import data_path, save_model
from onnxprune.pipeline import (
    Chosen,
    PruneOptions,
    add_provenance,
    choose_masks,
    load_groups,
    measured,
    require_met,
    write_pruned,
)
from onnxprune.pruning import prune
from onnxprune.reconstruction import Method, ReconstructOptions, reconstruct
from onnxprune.runs.folder import RunFolder, write_json
from onnxprune.target import reachable, require_reachable
from onnxprune.verification import VerificationReport, VerifyOptions, require_ok, verify

Feed = Mapping[str, NDArray[Any]]
PREFERRED = ("obs", "wanda")  # of the criteria, by falling promise
CALIBRATION_BATCH = 50
PROOF_ROWS = 8


@dataclass(frozen=True)
class Work:
    """What every box has at hand.

    Attributes:
        options: Of the run.
        run: Its folder.
        groups: Of the original.
        cost_model: Of the groups; it knows the latency where the target bounds it.
        parts: The samples.
        asked: Who chooses the masks.
        listener: Who is told.
    """

    options: CompressOptions
    run: RunFolder
    groups: Groups
    cost_model: CostModel
    parts: Parts
    asked: Asked
    listener: Listener

    @property
    def searched(self) -> bool:
        return self.asked.agent != NONE

    @property
    def graph(self) -> Graph:
        return self.groups.graph

    def at(self, name: str) -> Path:
        return self.run.path / name

    @property
    def pruning(self) -> PruneOptions:
        return prune_options(self.options, self.criterion)

    @property
    def criterion(self) -> str:
        """As asked, or the most promising that there is."""
        wanted = self.options.prune.criterion
        return next(name for name in PREFERRED if name in CRITERIA) if wanted == "auto" else wanted

    def masks(self) -> Masks:
        return load_masks(self.at("masks.json"), self.groups)

    def calibration(self) -> Samples:
        return choose(self.parts.fit, self.options.reconstruct.rows, seed=self.options.seed)


def make_work(options: CompressOptions, run: RunFolder, listener: Listener) -> Work:
    """The model and the samples, opened.

    Raises:
        ModelError, UnsupportedError, DataError: They cannot be used.
        UsageError: E208, what was measured of the latency is missing or damaged.
    """
    asked = prune_options(options, options.prune.criterion)
    groups = load_groups(Path(options.model), asked)
    table = read_table(run, counted_by(options).target)
    cost_model = CostModel(groups) if table is None else TimedCostModel(groups, table)
    parts = open_parts(options, groups.graph)
    return Work(options, run, groups, cost_model, parts, asked_agent(options, parts), listener)


Function = Callable[[Work], tuple[str, ...]]


@dataclass(frozen=True)
class Box:
    """A part of the path.

    Attributes:
        name: As run.json and the progress have it.
        reads: Files of earlier boxes; those that are missing were not made.
        function: Does it; returns the names of the files that it wrote.
        model: That it writes; removed where the box is left out, lest an older one stay.
        scratch: What it goes on from within itself; removed where what it reads has changed.
    """

    name: str
    reads: tuple[str, ...]
    function: Function
    model: str = ""
    scratch: str = ""


def feeds_of(samples: Samples, size: int) -> Iterator[Feed]:
    return (batch.inputs for batch in samples.batches(size))


def inspect_box(work: Work) -> tuple[str, ...]:
    """groups.json: what can go, and why the rest cannot; the target is checked before any work."""
    cost, options = work.cost_model, counted_by(work.options)
    require_reachable(cost, target=options.target, constraints=options.constraints)
    document = {
        "cost": vars(cost.count({})),
        "reachable": vars(reachable(cost, options.constraints)),
        "assumed": {name: list(shape) for name, shape in work.graph.assumed.items()},
        "groups": [
            {"name": g.name, "channels": g.channels, "anchor": g.anchor, "frozen": g.frozen}
            for g in work.groups
        ],
    }
    write_json(work.at("groups.json"), document)
    return ("groups.json",)


def prune_box(work: Work) -> tuple[str, ...]:
    """masks.json and pruned.onnx, proven."""
    options, given = work.pruning, work.options.masks is not None
    chosen = searched_masks(work) if work.searched else chosen_masks(work)
    masks = chosen.masks
    result = write_pruned(work.groups, masks, work.at("pruned.onnx"), samples=proof_of(work), force=True)
    save_masks(work.at("masks.json"), masks, work.groups, align=str(options.constraints.align))
    for check in result.report.skipped:
        work.listener.warn(f"W801: not proven: {check.name}: {check.detail}")
    measured = () if chosen.confirmed is None else chosen.confirmed.beside.warnings
    for warning in (*result.warnings, *measured):
        work.listener.warn(warning)
    document = {
        "criterion": None if given else work.criterion,
        "allocation": None if given or work.searched else options.allocation,
        "masks": work.options.masks,
        "agent": work.asked.agent,
        "constraints": str(options.constraints),
        "before": vars(result.before),
        "after": vars(result.after),
        "targets": judged(options.target, result.before, result.after, chosen.confirmed),
        "latency": None if chosen.confirmed is None else chosen.confirmed.to_json(),
        "verification": result.report.to_json(),
    }
    write_json(work.at("prune.json"), document)
    return ("masks.json", "prune.json", *with_weights(work, "pruned.onnx"))


def searched_masks(work: Work) -> Chosen:
    """The masks that the search has left; measured once more, where the latency is bounded."""
    return measured(load_masks(work.at(SEARCHED), work.groups), work.groups, work.pruning)


def chosen_masks(work: Work) -> Chosen:
    """The masks that are given, or those by criterion and allocation alone."""
    if work.options.masks is not None:
        masks = load_masks(Path(work.options.masks), work.groups)
        require_met(masks, work.groups, work.pruning.target)
        return measured(masks, work.groups, work.pruning)
    feeds = work.calibration().batches(CALIBRATION_BATCH) if needs_data(work.criterion) else None
    return choose_masks(
        work.groups, work.pruning, feeds=feeds, cost_model=work.cost_model, tell=work.listener.note
    )


def proof_of(work: Work) -> list[Feed]:
    """A few inputs for the proof."""
    return few_feeds(work.graph, work.parts.fit, PROOF_ROWS)


def needs_data(criterion: str) -> bool:
    return criterion in CRITERIA and CRITERIA[criterion].needs_data


def reconstruct_box(work: Work) -> tuple[str, ...]:
    """reconstructed.onnx: the pruned model with weights that repair what it lost."""
    masks, settings = work.masks(), work.options.reconstruct
    options = ReconstructOptions(method=cast(Method, settings.method))
    feeds = list(feeds_of(work.calibration(), CALIBRATION_BATCH))
    model = reconstruct(work.groups, masks, feeds, options=options)
    add_provenance(model, work.graph, masks)
    report = write_changed(work, model, "reconstructed.onnx", source=work.graph)
    document = {"options": asdict(options), "verification": report.to_json()}
    write_json(work.at("reconstruct.json"), document)
    return ("reconstruct.json", *with_weights(work, "reconstructed.onnx"))


def write_changed(work: Work, model: ModelProto, name: str, *, source: Graph) -> VerificationReport:
    """Write a model whose weights were changed after pruning, and prove what can be proven of it.

    Args:
        work: What is at hand.
        model: To write; its external references are those of `source`.
        name: Of the file.
        source: The model that it was made of.

    Raises:
        VerificationError: E801; nothing was written.
    """
    masks, samples, reports = work.masks(), proof_of(work), []

    def check(written: Path) -> None:
        options = VerifyOptions(cost=CostModel(work.groups).count(masks), prune=prune, retrained=True)
        report = verify(
            work.graph, written, masks=masks, groups=work.groups, samples=samples, options=options
        )
        reports.append(report)
        require_ok(report)

    external = external_locations(source.model)
    saved = save_model(model, work.at(name), source=source.path, force=True, check=check, external=external)
    for warning in saved.warnings:
        work.listener.warn(warning)
    return reports[0]


def with_weights(work: Work, name: str) -> tuple[str, ...]:
    """A model's file, and its weights file or folder where it has one."""
    data = data_path(work.at(name))
    return (name, data.name) if data.exists() else (name,)
