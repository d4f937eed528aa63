"""The peer that prunes ONNX files: onnxsim's structured pruning, driven to a target that it does not have.

pip install onnxsim==0.8.1
"""

from dataclasses import dataclass
from pathlib import Path

import onnx

from onnxprune.cost import Cost, CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph

STEPS = 7


@dataclass(frozen=True)
class PeerResult:
    """The largest model within the bound, or why there is none."""

    cost: Cost | None
    sparsity: float
    note: str


def cost_of(path: Path) -> Cost:
    """The cost of a file as it is."""
    return CostModel(find_groups(load_graph(path))).count({})


def prune_with_onnxsim(source: Path, out: Path, *, macs: int) -> PeerResult:
    """Bisect onnxsim's sparsity until the MACs are at or under the bound; writes `out`."""
    import onnxsim

    # its matchers want initializers, so that its own simplifier goes first, as its users would do it
    simplified = out.with_suffix(".simplified.onnx")
    try:
        onnx.save(onnxsim.simplify(str(source))[0], simplified)
    except Exception:  # it has no error type of its own
        simplified = source
    low, high, best = 0.0, 0.98, PeerResult(None, 0.0, "no sparsity reaches the target")
    least = 0
    for step in range(STEPS):
        sparsity = high if step == 0 else (low + high) / 2
        trial = out.with_suffix(".trial.onnx")
        try:
            onnx.save(onnxsim.apply_structured_pruning(str(simplified), sparsity=sparsity), trial)
            cost = cost_of(trial)
        except Exception as error:  # it raises whatever its parts raise
            return PeerResult(None, sparsity, f"fails: {str(error).splitlines()[0][:80]}")
        least = cost.macs if step == 0 else least
        if cost.macs <= macs:
            high, best = sparsity, PeerResult(cost, sparsity, "")
            trial.replace(out)
        elif step == 0:
            trial.unlink()
            return PeerResult(
                None, sparsity, f"least reachable: {100 * least / cost_of(source).macs:.0f} % of MACs"
            )
        else:
            low = sparsity
            trial.unlink()
    return best
