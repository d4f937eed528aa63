"""What a search leaves: the masks, and search.json with everything needed to repeat it."""

import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.agents.types import Problem, State
from onnxprune.errors import UsageError
from onnxprune.latency import judged
from onnxprune.masks import masks_hash, save_masks
from onnxprune.runs.folder import RunFolder, read_json, write_bytes, write_json
from onnxprune.search.history import History, Scored
from onnxprune.search.inputs import Inputs
from onnxprune.search.selection import Finalist, Selection, figure_of
from onnxprune.target import reachable

MASKS, ARRAYS, RESULT, POLICY = "masks.json", "masks.npz", "search.json", "policy.pt"
FORMAT = 1
COPIED = ("argv", "versions", "processor", "seed", "sha256", "options")  # from run.json


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        inputs, problem, history: Of the search.
        selection: The finalists.
        originals: The original, by split.
        exhausted: The agent had nothing more to try.
        seconds: The search took.
        scoring_s: Of these, until scores came back.
    """

    inputs: Inputs
    problem: Problem
    history: History
    selection: Selection
    originals: Mapping[str, Scored]
    exhausted: bool
    seconds: float
    scoring_s: float


def write_result(run: RunFolder, found: Found) -> None:
    """masks.json, masks.npz and search.json, in place."""
    inputs, problem, best = found.inputs, found.problem, found.selection.best
    sign = inputs.metric.sign
    for name in (MASKS, ARRAYS):
        save_masks(run.path / name, best.masks, inputs.groups, align=str(problem.constraints.align))
    write_json(
        run.path / RESULT,
        {
            "format": FORMAT,
            **{key: run.record[key] for key in COPIED},
            "model": str(inputs.groups.graph.path),
            "target": str(problem.target),
            "constraints": str(problem.constraints),
            "prior": problem.prior,
            "metric": inputs.metric.name,
            "lower_is_better": sign < 0,
            "splits": splits(inputs, found.originals),
            "original": {
                "cost": vars(problem.whole),
                **{name: figure_of(one.accuracy, sign) for name, one in found.originals.items()},
            },
            "reachable": vars(reachable(problem.cost_model, inputs.constraints)),
            "best": finalist_document(best, sign),
            "targets": judged(problem.target, problem.whole, best.cost, best.confirmed),
            "finalists": [finalist_document(finalist, sign) for finalist in found.selection.finalists],
            "history": {
                **found.history.summary(),
                "exhausted": found.exhausted,
                "seconds": round(found.seconds, 1),
                "scoring_seconds": round(found.scoring_s, 1),
            },
            "masks": {"path": str(run.path / MASKS), "sha256": masks_hash(best.masks)},
            "apply": apply_command(run.path, inputs),
        },
    )


def write_policy(folder: Path, learnt: State | None) -> None:
    """policy.pt, what a search on another model can begin with, in place; nothing where nothing was learnt.

    Raises:
        RuntimeProblem: E605, the disk is full.
    """
    if learnt is None:
        return
    import torch  # noqa: PLC0415 - only agents that need it learn

    memory = io.BytesIO()
    torch.save(learnt, memory)
    write_bytes(folder / POLICY, memory.getbuffer())


def splits(inputs: Inputs, originals: Mapping[str, Scored]) -> dict[str, Any]:
    """Rows of each part of the samples; the rule that cuts them is fixed, its seed is in the options."""
    return {
        "data": inputs.options.data,
        "calibration": inputs.calibration.count,
        **{name: one.rows for name, one in originals.items()},
    }


def finalist_document(finalist: Finalist, sign: int) -> dict[str, Any]:
    """Figures as the metric counts, not as the agent is told."""
    return {
        "masks": masks_hash(finalist.masks),
        "note": finalist.note,
        "episode": finalist.episode,
        "cost": vars(finalist.cost),
        "reward": figure_of(finalist.reward, sign),
        "selection": figure_of(finalist.selection, sign),
        "latency": None if finalist.confirmed is None else finalist.confirmed.to_json(),
        "kept": {name: int(bits.sum()) for name, bits in finalist.masks.items()},
    }


def apply_command(folder: Path, inputs: Inputs) -> str:
    """The command line that makes the pruned model."""
    options = inputs.options
    out = folder / "pruned.onnx"
    words = ["onnxprune", "prune", options.model, "--masks", str(folder / MASKS), "-o", str(out)]
    if options.channels.heads:
        words.append("--heads")
    for shape in options.shape:
        words += ["--shape", shape]
    words += ["--reconstruct", "--data", options.data]
    for text in options.map:
        words += ["--map", text]
    for name, value in vars(options.images).items():
        if value is not None:
            words += [f"--{name}", value]
    if options.seed:
        words += ["--seed", str(options.seed)]
    return shlex.join(words)


def summary_of(run: RunFolder) -> dict[str, Any]:
    """All that a finished search found.

    Raises:
        UsageError: E208, its result is missing or damaged.
    """
    found = read_json(run.path / RESULT)
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), dict) for name in ("masks", "history")
    ):
        raise UsageError("E208", f"{run.path / RESULT} is no result of a search", hint="start a new run")
    return {"run": str(run.path), "status": run.record["status"], **found}
