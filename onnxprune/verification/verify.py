"""All checks on one pair of models, in the order in which they can protect each other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from onnxprune.errors import ModelError, VerificationError
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import check_masks
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.verification import channels, contract, law, recount, schema, weights
from onnxprune.verification.allowed import allowed
from onnxprune.verification.lens import see, see_further
from onnxprune.verification.recovery import CannotRecover, recover_masks
from onnxprune.verification.sessions import CannotRun, Runnable, runnable
from onnxprune.verification.trial import try_original
from onnxprune.verification.types import (
    Bits,
    Check,
    Feeds,
    Status,
    VerificationReport,
    VerifyOptions,
    skipped,
)
from onnxprune.verification.value_extents import Axes, settled, value_dependent

DEFAULT = VerifyOptions()
BROKEN = "not run: extents do not fit, and a run could read beyond the weights"
APART = "not looked at: the nodes do not hang together"
LATER = (contract.NAME, weights.NAME, schema.NAME, recount.NAME, law.RUNS, law.LAW)


@dataclass(frozen=True)
class Origin:
    """Groups and masks that belong to the pruned model; without masks the reason why there are none."""

    groups: Groups
    masks: Mapping[str, Bits] | None
    note: str


def verify(
    original: Path | Graph,
    pruned: ModelProto | Path,
    *,
    masks: Mapping[str, Bits] | None = None,
    groups: Groups | None = None,
    samples: Iterable[Feeds] | None = None,
    options: VerifyOptions = DEFAULT,
) -> VerificationReport:
    """Whether a pruned model is the original without the removed channels, and nothing else.

    >>> report = verify(Path("resnet20.onnx"), Path("out/.pruned.onnx.part"), masks=masks)
    >>> report.ok, str(report["masked"])
    (True, 'PASS  masked original == pruned   max|d| 3.1e-06 over 10 inputs (8 samples and 2 random)')

    Args:
        original: The model that was pruned.
        pruned: The result: in memory, or a file under whatever name, such as a temporary one.
        masks: What it was made of; None: recovered from its weights where they were not changed.
        groups: Of the original; None: found here.
        samples: Feeds of real inputs; random ones are added in any case.
        options: Tolerances, promised cost, how to prune.

    Returns:
        The report; a check that fails is no exception, see `require_ok`.

    Raises:
        ModelError: A file cannot be read (E301 to E308).
        UsageError: E206, masks that do not fit the groups.
    """
    if groups is not None:
        original = groups.graph
    graph = original if isinstance(original, Graph) else load_graph(original)
    try:
        seen = see(pruned, graph)
    except ModelError as error:
        if error.code != "E309":
            raise
        apart = [skipped(name, APART) for name in LATER]
        return VerificationReport(
            (Check(channels.NAME, Status.FAIL, error.message, (error.message,)), *apart)
        )
    origin = find_origin(groups, graph, masks, seen)
    checks = list(structure(origin, seen, pruned, options))
    if any(check.status is Status.FAIL for check in checks if check.name in (channels.NAME, schema.NAME)):
        checks += [skipped(law.RUNS, BROKEN), skipped(law.LAW, BROKEN)]
    else:
        checks += running(origin, seen, samples or (), options)
    return VerificationReport(tuple(checks))


def require_ok(report: VerificationReport) -> None:
    """Return where no check failed.

    Raises:
        VerificationError: E801, naming the first check that failed; nothing may be renamed into place.
    """
    if report.ok:
        return
    first, others = report.failed[0], report.failed[1:]
    also = f" (and {len(others)} more: {', '.join(check.name for check in others)})" if others else ""
    raise VerificationError(
        "E801",
        f"verification failed: {first.name}{also}",
        cause="; ".join(first.faults[:5]),
        hint="the output was not written; the original is untouched. Please report this with the model",
    )


def find_origin(
    groups: Groups | None, graph: Graph, masks: Mapping[str, Bits] | None, pruned: Graph
) -> Origin:
    """The masks of the pruned model: as given, or recovered under either granularity of heads."""
    if masks is not None:
        groups = groups if groups is not None else find_groups(graph)
        check_masks(masks, groups)
        return Origin(groups, masks, "")
    reasons = []
    candidates = [groups] if groups is not None else [find_groups(graph), find_groups(graph, heads=True)]
    for candidate in candidates:
        try:
            return Origin(candidate, recover_masks(candidate, pruned), "masks recovered from the weights")
        except CannotRecover as reason:
            reasons.append(str(reason))
    return Origin(candidates[0], None, f"no masks, and they cannot be recovered: {reasons[0]}")


def structure(
    origin: Origin, seen: Graph, pruned: ModelProto | Path, options: VerifyOptions
) -> Iterator[Check]:
    """The checks that run nothing; shapes that only a run can tell are filled in where the known ones fit."""
    groups, file = origin.groups, pruned if isinstance(pruned, Path) else None
    may = allowed(groups, origin.masks or {})
    loose: Axes = frozenset()
    fits = channels.check_channels(groups.graph, seen, final=False)
    if fits.status is not Status.FAIL:
        seen = see_further(seen)
        loose = value_dependent(groups, seen, may.constants)
        fits = channels.check_channels(groups.graph, seen, loose=loose)
    yield fits
    yield contract.check_contract(groups.graph, seen, may, retrained=options.retrained, file=file)
    if origin.masks is not None:
        yield weights.check_weights(groups, seen, origin.masks, retrained=options.retrained)
    else:
        yield weights.check_untouched(groups, seen, origin.note, retrained=options.retrained)
    yield schema.check_schema(groups.graph, seen)
    if fits.status is Status.FAIL:
        yield skipped(recount.NAME, "extents do not fit, so that nothing can be counted")
    else:
        yield recount.check_cost(settled(groups.graph, seen, loose), options.cost)


def running(origin: Origin, seen: Graph, samples: Iterable[Feeds], options: VerifyOptions) -> Iterator[Check]:
    """The checks that run the original, the pruned model and the masked original, one after the other."""
    graph = origin.groups.graph
    source: Runnable = runnable(graph.model, graph.path.parent, options.extensions)
    try:
        trial = try_original(graph, source, samples, options)
    except CannotRun as reason:
        for name in (law.RUNS, law.LAW):
            yield skipped(name, f"the original does not run here: {reason}")
        return
    bench = law.Bench(origin.groups, source, trial, options)
    check, plain = law.check_runs(bench, law.as_runnable(bench, seen.model, seen.path.parent))
    yield check
    if check.status is Status.FAIL and not plain:
        yield skipped(law.LAW, "the pruned model does not run")
    elif origin.masks is None:
        yield skipped(law.LAW, origin.note)
    elif options.retrained:
        yield skipped(law.LAW, "weights were repaired or trained after pruning")
    else:
        yield law.check_law(bench, origin.masks, plain)
