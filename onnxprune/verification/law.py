"""Proof by running: the pruned model runs, and gives what the original gives without the removed channels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto

from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph
from onnxprune.verification.compare import Distance, distance, finite, same, tolerance_of
from onnxprune.verification.masked import masked_model
from onnxprune.verification.sessions import Arrays, CannotRun, Runnable, run_all, runnable
from onnxprune.verification.trial import Trial
from onnxprune.verification.types import Bits, Check, Status, VerifyOptions, judged, passed, skipped

RUNS = "runs (all optimisations / none)"
LAW = "masked original == pruned"
OWN_NOISE = 2.0  # times the difference that the original's own optimisations make


@dataclass(frozen=True)
class Bench:
    """What the checks that run have in common."""

    groups: Groups
    original: Runnable
    trial: Trial
    options: VerifyOptions

    @property
    def graph(self) -> Graph:
        return self.groups.graph


def check_runs(bench: Bench, pruned: Runnable) -> tuple[Check, list[Arrays]]:
    """The pruned model runs with all optimisations and with none, alike; and its answers without any."""
    trial = bench.trial
    try:
        plain = run_all(pruned, trial.feeds, optimised=False)
        full = run_all(pruned, trial.feeds, optimised=True)
    except CannotRun as refusal:
        return Check(RUNS, Status.FAIL, str(refusal), (str(refusal),)), []
    faults = [
        f"output of input {number} is not finite, that of the original is"
        for number, (ours, theirs) in enumerate(zip(plain, trial.answers, strict=True))
        if finite(theirs) and not finite(ours)
    ]
    gap = distance(full, plain, tolerance_of(bench.graph, bench.options))
    detail = f"both differ by {gap.max_abs:.2g} on {len(trial.feeds)} inputs ({trial.note})"
    if gap.fault:
        own = noise(bench)
        if gap.relative > OWN_NOISE * own.relative:
            faults.append(f"optimised and not: {gap.fault}")
        detail += f", the original's by {own.max_abs:.2g}"
    if not all(map(finite, trial.answers)):
        detail += "; the original's own outputs are not all finite"
    return judged(RUNS, faults, detail, max_abs=gap.max_abs, inputs=len(trial.feeds)), plain


def noise(bench: Bench) -> Distance:
    """How far the original's answers with all optimisations are from those with none."""
    try:
        full = run_all(bench.original, bench.trial.feeds, optimised=True)
    except CannotRun:
        return Distance()
    return distance(full, bench.trial.answers, tolerance_of(bench.graph, bench.options))


def check_law(bench: Bench, masks: Mapping[str, Bits], plain: list[Arrays]) -> Check:
    """The answers of the pruned model against those of the masked original.

    Args:
        bench: Original, inputs and options.
        masks: What the pruned model was made of.
        plain: Answers of the pruned model without optimisations.
    """
    lost = {name for name, bits in masks.items() if not bits.all()}
    if not lost:
        return check_identity(bench, plain)
    shaky = sorted(name for name in lost if bench.groups[name].inexact)
    if not shaky:
        return compared(bench, masks, plain, "")
    named = ", ".join(shaky[:3]) + (", ..." if len(shaky) > 3 else "")
    what = f"a statistic runs over the channels of {len(shaky)} of the pruned groups ({named})"
    if lost == set(shaky):
        return skipped(LAW, f"{what}, and no other lost any: there is nothing to compare with")
    if bench.options.prune is None:
        return skipped(LAW, f"{what}: the others must be pruned alone to compare, and no `prune` was given")
    exact = {name: bits for name, bits in masks.items() if name not in shaky}
    alone = as_runnable(bench, bench.options.prune(bench.groups, exact))
    try:
        without = run_all(alone, bench.trial.feeds, optimised=False)
    except CannotRun as refusal:
        fault = f"with the inexact groups kept whole: {refusal}"
        return Check(LAW, Status.FAIL, fault, (fault,))
    return compared(bench, exact, without, f"; {what}: proven with these kept whole")


def compared(bench: Bench, masks: Mapping[str, Bits], plain: list[Arrays], note: str) -> Check:
    """The masked original runs on the same inputs."""
    lean = replace(bench.groups, graph=replace(bench.graph, model=bench.original.model))
    try:
        model = masked_model(lean, masks)
        expected = run_all(replace(bench.original, model=model), bench.trial.feeds, optimised=False)
    except CannotRun as refusal:
        return skipped(LAW, f"the masked original does not run: {refusal}")
    gap = distance(plain, expected, tolerance_of(bench.graph, bench.options))
    detail = f"max|d| {gap.max_abs:.2g} over {len(plain)} inputs ({bench.trial.note}){note}"
    faults = [gap.fault] if gap.fault else []
    return judged(LAW, faults, detail, max_abs=gap.max_abs, relative=gap.relative, inputs=len(plain))


def check_identity(bench: Bench, plain: list[Arrays]) -> Check:
    """Nothing was removed: the outputs are exactly those of the original."""
    answers = bench.trial.answers
    gap = distance(plain, answers, tolerance_of(bench.graph, bench.options))
    if same(plain, answers) or (not bench.trial.exact and not gap.fault):
        return passed(
            LAW, f"nothing was removed: outputs equal bit for bit over {len(plain)} inputs", inputs=len(plain)
        )
    fault = gap.fault or f"nothing was removed, yet outputs differ by {gap.max_abs:.2g}"
    return Check(LAW, Status.FAIL, fault, (fault,), {"max_abs": gap.max_abs})


def as_runnable(bench: Bench, model: ModelProto, folder: Path | None = None) -> Runnable:
    return runnable(model, folder or bench.original.folder, bench.options.extensions)
