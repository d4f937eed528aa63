"""The boxes of a run: each a function from files to files, told by the names of what it wrote."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.calibration.feeds import few_feeds
from onnxprune.compression.files import SEARCHED
from onnxprune.compression.inputs import counted_by
from onnxprune.compression.work import Work
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.data import Samples
from onnxprune.latency import judged
from onnxprune.masks import Masks, load_masks, save_masks
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.saving import data_path, save_model
from onnxprune.pipeline import (
    Chosen,
    Pruned,
    add_provenance,
    choose_masks,
    measured,
    require_met,
    write_pruned,
)
from onnxprune.pruning import prune
from onnxprune.reconstruction import Method, ReconstructOptions, reconstruct
from onnxprune.runs.folder import write_json
from onnxprune.target import reachable, require_reachable
from onnxprune.verification import VerificationReport, VerifyOptions, require_ok, verify

Feed = Mapping[str, NDArray[Any]]
Function = Callable[[Work], tuple[str, ...]]
CALIBRATION_BATCH = 50
PROOF_ROWS = 8


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
    result = write_cut(work, masks)
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
    own = load_masks(work.at(SEARCHED), work.base.groups)
    return measured(work.total(own), work.groups, work.pruning)


def chosen_masks(work: Work) -> Chosen:
    """The masks that are given, or those by criterion and allocation alone."""
    if work.options.masks is not None:
        masks = load_masks(Path(work.options.masks), work.groups)
        require_met(masks, work.groups, work.pruning.target)
        return measured(masks, work.groups, work.pruning)
    feeds = work.calibration().batches(CALIBRATION_BATCH) if needs_data(work.criterion) else None
    work.tell_base()
    chosen = choose_masks(
        work.base.groups, work.base_pruning, feeds=feeds, cost_model=work.base_cost, tell=work.listener.note
    )
    if work.base.descent is None:
        return chosen
    return measured(work.total(chosen.masks), work.groups, work.pruning)


def write_cut(work: Work, masks: Masks) -> Pruned:
    """pruned.onnx, proven by the law against the model that it is cut from.

    Where that is not the original, what can be proven against the original is proven too.

    Args:
        work: What is at hand.
        masks: Of the original.

    Raises:
        VerificationError: E801; nothing was written.
    """
    source, own, out = work.base.groups, work.own(masks), work.at("pruned.onnx")
    if work.base.descent is None:
        return write_pruned(source, own, out, samples=proof_of(work), force=True)
    model = prune(source, own)
    add_provenance(model, work.graph, masks)
    options = VerifyOptions(cost=CostModel(source).count(own), prune=prune)
    report = verify(source.graph, model, masks=own, groups=source, samples=proof_of(work), options=options)
    require_ok(report)
    write_changed(work, model, out.name, source=source.graph, masks=masks)
    count = CostModel(work.groups).count
    return Pruned(work.groups, masks, count({}), count(masks), report, out)


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
    source = work.base.groups
    model = reconstruct(source, work.own(masks), feeds, options=options)
    add_provenance(model, work.graph, masks)
    report = write_changed(work, model, "reconstructed.onnx", source=source.graph, masks=masks)
    document = {"options": asdict(options), "verification": report.to_json()}
    write_json(work.at("reconstruct.json"), document)
    return ("reconstruct.json", *with_weights(work, "reconstructed.onnx"))


def write_changed(
    work: Work, model: ModelProto, name: str, *, source: Graph, masks: Masks
) -> VerificationReport:
    """Write a model whose weights are not the original's, and prove what can be proven of it.

    Args:
        work: What is at hand.
        model: To write; its external references are those of `source`.
        name: Of the file.
        source: The model that it was made of.
        masks: What it keeps of the original.

    Raises:
        VerificationError: E801; nothing was written.
    """
    samples, reports = proof_of(work), []

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
