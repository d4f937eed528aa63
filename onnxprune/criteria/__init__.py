"""Criteria: how much each channel matters. `CRITERIA` names them; `score` applies one.

    scores = score(groups, "l2")
    scores = score(groups, "taylor", feeds=samples.batches(64))

weights.py        sums over slices of initializers, dequantised, one initializer at a time
magnitude.py      l1, l2, group-l2, bn-scale, random
distances.py      fpgm
readers.py        contractions as readers of channels, and their weights
activations.py    wanda, act-mean-abs, apoz
rank.py           hrank
obs.py            obs
gradients.py      taylor, taylor-sum, hessian, bn-gate
"""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from onnxprune.criteria.activations import act_mean_abs, apoz, wanda
from onnxprune.criteria.distances import fpgm
from onnxprune.criteria.gradients import bn_gate, hessian, taylor, taylor_sum
from onnxprune.criteria.magnitude import bn_scale, group_l2, l1, l2, random
from onnxprune.criteria.obs import obs
from onnxprune.criteria.options import Calibration, Feed, Options, Scores, batches_of
from onnxprune.criteria.rank import hrank
from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.groups import Groups

__all__ = ["CRITERIA", "Calibration", "Criterion", "Feed", "Options", "Scores", "require_criterion", "score"]


@dataclass(frozen=True)
class Criterion:
    """A way to score channels.

    Attributes:
        function: Scores of the prunable groups, float64 (channels,) by group name; larger is kept longer.
        needs_data: Calibration inputs must be given.
        needs_torch: torch must be installed.
    """

    function: Callable[[Groups, Options], Scores]
    needs_data: bool = False
    needs_torch: bool = False


CRITERIA: dict[str, Criterion] = {
    "l1": Criterion(l1),
    "l2": Criterion(l2),
    "group-l2": Criterion(group_l2),
    "fpgm": Criterion(fpgm),
    "bn-scale": Criterion(bn_scale),
    "random": Criterion(random),
    "wanda": Criterion(wanda, needs_data=True),
    "act-mean-abs": Criterion(act_mean_abs, needs_data=True),
    "apoz": Criterion(apoz, needs_data=True),
    "obs": Criterion(obs, needs_data=True),
    "hrank": Criterion(hrank, needs_data=True),
    "taylor": Criterion(taylor, needs_data=True, needs_torch=True),
    "taylor-sum": Criterion(taylor_sum, needs_data=True, needs_torch=True),
    "hessian": Criterion(hessian, needs_data=True, needs_torch=True),
    "bn-gate": Criterion(bn_gate, needs_data=True, needs_torch=True),
}


def score(
    groups: Groups, criterion: str, *, feeds: Iterable[Calibration] | None = None, seed: int = 0
) -> Scores:
    """How much each channel matters by one criterion.

    Args:
        groups: From `find_groups`.
        criterion: A key of `CRITERIA`.
        feeds: Calibration samples, batches of any size, read once: inputs by name, or with labels too.
        seed: For criteria that draw.

    Raises:
        UsageError: E201, an unknown criterion.
        DataError: E501, E504, the criterion needs inputs and there are none.
        UnsupportedError: E403, the model lacks what the criterion looks at; E406, it cannot be trained.
        RuntimeProblem: E603, the criterion needs torch, which is not installed.
    """
    require_criterion(criterion)
    options = Options(None if feeds is None else batches_of(feeds), seed)
    return CRITERIA[criterion].function(groups, options)


def require_criterion(name: str) -> None:
    """Whether there is a criterion of this name, and what it needs is installed; before any work.

    Raises:
        UsageError: E201, an unknown criterion.
        RuntimeProblem: E603, it needs torch, which is not installed.
    """
    if name not in CRITERIA:
        near = get_close_matches(name, CRITERIA, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CRITERIA)}"
        raise UsageError("E201", f"unknown criterion {name!r}", hint=hint)
    if CRITERIA[name].needs_torch and importlib.util.find_spec("torch") is None:
        raise RuntimeProblem(
            "E603",
            f"criterion {name} needs torch, which is not installed",
            hint='pip install "onnxprune[torch]", or another criterion, such as wanda',
        )
