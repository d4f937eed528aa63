"""The path from a file to a smaller, verified file; the first module to read.

model.onnx -> load_graph -> find_groups -> masks -> prune -> verify -> save
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnx import ModelProto

from onnxprune.allocation import allocate
from onnxprune.cost import Cost, CostModel
from onnxprune.criteria import Calibration, Feed, score
from onnxprune.errors import ModelError, TargetError, UnsupportedError
from onnxprune.groups import Groups, find_groups
from onnxprune.groups.explain import explain
from onnxprune.groups.restrict import restrict
from onnxprune.latency import (
    Confirmed,
    RuntimeWatch,
    TimedCostModel,
    WatchOptions,
    choose_confirmed,
    confirm,
    cost_model_for,
)
from onnxprune.masks import Masks, masks_hash, model_hash
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.saving import check_output, save_model
from onnxprune.pruning import prune
from onnxprune.target import Constraints, Target, require_reachable
from onnxprune.verification import VerificationReport, VerifyOptions, first_fault, require_ok, verify
from onnxprune.version import VERSION

PROVENANCE = "onnxprune."
MOST_REASONS = 5


@dataclass(frozen=True)
class PruneOptions:
    """How to choose what goes.

    Attributes:
        target: Upper bounds on the cost.
        criterion: A key of `CRITERIA`.
        allocation: A key of `ALLOCATIONS`.
        constraints: Alignment and least kept counts.
        heads: Whole attention heads instead of equal indices of all heads.
        skip, only: Patterns of what to leave alone, of what alone to prune.
        shapes: Extents to assume for free inputs, by name.
        seed: Of criteria that draw.
        provenance: Write version, masks hash and parent sha256 into the model's metadata.
        latency: How it is measured, where the target bounds it.
    """

    target: Target
    criterion: str = "group-l2"
    allocation: str = "global"
    constraints: Constraints = field(default_factory=Constraints)
    heads: bool = False
    skip: Sequence[str] = ()
    only: Sequence[str] = ()
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    provenance: bool = True
    latency: WatchOptions = field(default_factory=WatchOptions)


@dataclass(frozen=True)
class Chosen:
    """Masks, and what was measured of them where the latency is bounded."""

    masks: Masks
    confirmed: Confirmed | None = None


@dataclass(frozen=True)
class Pruned:
    """What `prune_file` did: costs before and after, the masks, the proof, and where it was written."""

    groups: Groups
    masks: Masks
    before: Cost
    after: Cost
    report: VerificationReport
    path: Path
    warnings: tuple[str, ...] = ()


def load_groups(path: Path, options: PruneOptions) -> Groups:
    """The coupled channels of a file, those frozen that the options leave alone.

    Raises:
        ModelError: E301 to E309, the file cannot be read, or its extents do not fit each other.
        UnsupportedError: E402, nothing in it can be pruned.
    """
    graph = load_graph(path, shapes=options.shapes)
    require_fitting(graph)
    groups = restrict(find_groups(graph, heads=options.heads), skip=options.skip, only=options.only)
    require_prunable(groups)
    return groups


def require_fitting(graph: Graph) -> None:
    """Raises: ModelError: E309, the model would not run before it is pruned either."""
    fault = first_fault(graph)
    if fault is not None:
        hint = free_extents_hint(graph) or "export the model again"
        raise ModelError("E309", f"{graph.path.name} does not run: {fault}", hint=hint)


def free_extents_hint(graph: Graph) -> str | None:
    """How to give the extents that were assumed, which may be what does not fit; None where none were."""
    free = [i.name for i in graph.inputs if i.dims is not None and i.dims != graph.assumed.get(i.name)]
    shapes = [
        f"--shape {name}:{','.join(map(str, graph.assumed[name]))}" for name in free if name in graph.assumed
    ]
    return f"free extents were assumed; give ones that fit in place of {' '.join(shapes)}" if shapes else None


def require_prunable(groups: Groups) -> None:
    """Raises: UnsupportedError: E402, with the first reasons, one a line."""
    if groups.prunable:
        return
    places = explain(groups)
    reasons = list(dict.fromkeys([place.reason for place in places] + [g.frozen or "" for g in groups]))
    more = f"\n         and {len(reasons) - MOST_REASONS} more reasons" if len(reasons) > MOST_REASONS else ""
    raise UnsupportedError(
        "E402",
        f"{groups.graph.path.name}: nothing is prunable, none of {len(places)} weighted nodes",
        cause="\n         ".join(reasons[:MOST_REASONS]) + more,
        hint="`onnxprune inspect` shows every group with its reason",
    )


def choose_masks(
    groups: Groups,
    options: PruneOptions,
    *,
    feeds: Iterable[Calibration] | None = None,
    cost_model: CostModel | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> Chosen:
    """Masks by a criterion and an allocation that meet the target; a bound on the latency by measurement.

    Args:
        groups: Of the original.
        options: What to reach and how.
        feeds: Calibration samples for criteria that need some, with or without labels.
        cost_model: From `cost_model_for`, where it was made already.
        tell: Called with what was measured of masks that miss a bound on the latency.

    Raises:
        TargetError: E701, before any scoring, where no masks meet the target.
    """
    target, constraints = options.target, options.constraints
    cost_model = cost_model or cost_model_for(groups, target, constraints, options.latency)
    require_reachable(cost_model, target=target, constraints=constraints)
    scores = score(groups, options.criterion, feeds=feeds, seed=options.seed)

    def choose(model: CostModel) -> Masks:
        return allocate(scores, model, target=target, constraints=constraints, how=options.allocation)

    if not isinstance(cost_model, TimedCostModel):
        return Chosen(choose(cost_model))
    watch = RuntimeWatch(groups, options.latency)
    found = choose_confirmed(choose, cost_model, target, watch, tell=tell)
    return Chosen(found.masks, found.confirmed)


def require_confirmed(chosen: Chosen, target: Target) -> None:
    """Raises: TargetError: E702, the masks were measured and take longer than the target allows."""
    if chosen.confirmed is not None and not chosen.confirmed.met:
        raise TargetError(
            "E702",
            f"{target} was missed: measured {chosen.confirmed}",
            hint="the nearest was written; ask for more, or measure on a quieter machine",
        )


def require_met(masks: Masks, groups: Groups, target: Target) -> None:
    """Raises: TargetError: E702, masks that are there already cost more than the bounds that are counted."""
    cost_model = CostModel(groups)
    cost, original = cost_model.count(masks), cost_model.count({})
    for name, limit in target.counted.limits(original).items():
        reached, whole = getattr(cost, name), getattr(original, name)
        if reached > limit:
            share = f"{100 * reached / max(1, whole):.1f} %"
            raise TargetError("E702", f"these masks leave {share} of the {name} ({reached}), over {target}")


def measured(masks: Masks, groups: Groups, options: PruneOptions) -> Chosen:
    """Masks that are there already, measured beside the original where the latency is bounded."""
    if not options.target.times:
        return Chosen(masks)
    (confirmed,) = confirm([masks], options.target, RuntimeWatch(groups, options.latency))
    return Chosen(masks, confirmed)


def write_pruned(
    groups: Groups,
    masks: Masks,
    out: Path,
    *,
    samples: Iterable[Feed] | None = None,
    provenance: bool = True,
    force: bool = False,
) -> Pruned:
    """Prune, prove, and only then put the file in its place.

    Args:
        groups, masks: What goes.
        out: The new file; its external data, where the original has some, lies beside it.
        samples: Inputs for the proof; random ones otherwise.
        provenance: Write where the model comes from into its metadata.
        force: Replace an existing file.

    Raises:
        UsageError: E203, the output exists or cannot be written; checked before any work.
        VerificationError: E801, a check failed; nothing was written.
    """
    check_output(out, force)
    model = prune(groups, masks)
    if provenance:
        add_provenance(model, groups.graph, masks)
    return _write(groups, masks, model, out, _Proof(samples), force=force)


def write_repaired(
    groups: Groups,
    masks: Masks,
    model: ModelProto,
    out: Path,
    *,
    samples: Iterable[Feed] | None = None,
    force: bool = False,
) -> Pruned:
    """Write a model whose weights were changed after pruning, proven but for their values.

    Args:
        groups, masks: What went.
        model: From `reconstruct`.
        out: The new file.
        samples: Inputs for the proof; random ones otherwise.
        force: Replace an existing file.

    Raises:
        UsageError: E203, the output exists or cannot be written.
        VerificationError: E801, a check failed; nothing was written.
    """
    return _write(groups, masks, model, out, _Proof(samples, repaired=True), force=force)


@dataclass(frozen=True)
class _Proof:
    samples: Iterable[Feed] | None
    repaired: bool = False


def _write(
    groups: Groups, masks: Masks, model: ModelProto, out: Path, proof: _Proof, *, force: bool
) -> Pruned:
    graph, cost = groups.graph, CostModel(groups)
    reports: list[VerificationReport] = []

    def check(written: Path) -> None:
        options = VerifyOptions(cost=cost.count(masks), prune=prune, retrained=proof.repaired)
        report = verify(graph, written, masks=masks, groups=groups, samples=proof.samples, options=options)
        reports.append(report)
        require_ok(report)

    external = external_locations(graph.model)
    saved = save_model(model, out, source=graph.path, force=force, check=check, external=external)
    return Pruned(groups, masks, cost.count({}), cost.count(masks), reports[0], saved.model, saved.warnings)


def add_provenance(model: ModelProto, graph: Graph, masks: Masks) -> None:
    """Where the model comes from, in its metadata, in place; earlier entries of ours are replaced."""
    entries = {
        "version": VERSION,
        "parent_sha256": model_hash(graph.path),
        "masks_sha256": masks_hash(masks),
    }
    kept = [p for p in model.metadata_props if not p.key.startswith(PROVENANCE)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in entries.items():
        model.metadata_props.add(key=PROVENANCE + key, value=value)


def prune_file(
    source: Path | str,
    out: Path | str,
    options: PruneOptions,
    *,
    feeds: Iterable[Calibration] | None = None,
    samples: Iterable[Feed] | None = None,
    force: bool = False,
) -> Pruned:
    """Prune a file to a target: the whole path in five lines.

        prune_file(Path("model.onnx"), Path("small.onnx"), PruneOptions(parse_target(["macs=50%"])))

    Args:
        source, out: The original, which is never changed, and the new file.
        options: What to reach and how.
        feeds: Calibration samples for criteria that need some, with or without labels.
        samples: Inputs for the proof; random ones otherwise.
        force: Replace an existing file.

    Raises:
        TargetError: E701, no masks meet the target; E702, none were measured to, and the nearest was written.
    """
    source, out = Path(source), Path(out)
    check_output(out, force)
    groups = load_groups(source, options)
    chosen = choose_masks(groups, options, feeds=feeds)
    pruned = write_pruned(
        groups, chosen.masks, out, samples=samples, provenance=options.provenance, force=force
    )
    require_confirmed(chosen, options.target)
    return pruned
