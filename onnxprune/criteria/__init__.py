"""Criteria: how much each channel matters. `CRITERIA` names them; `score` applies one.

    scores = score(groups, "l2")
    scores = score(groups, "wanda", feeds=(batch.inputs for batch in samples.batches(64)))

weights.py        sums over slices of initializers, dequantised, one initializer at a time
magnitude.py      l1, l2, group-l2, bn-scale, random
distances.py      fpgm
readers.py        contractions as readers of channels, and their weights
activations.py    wanda, act-mean-abs, apoz
rank.py           hrank
obs.py            obs
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from onnxprune.criteria.activations import act_mean_abs, apoz, wanda
from onnxprune.criteria.distances import fpgm
from onnxprune.criteria.magnitude import bn_scale, group_l2, l1, l2, random
from onnxprune.criteria.obs import obs
from onnxprune.criteria.options import Feed, Options, Scores
from onnxprune.criteria.rank import hrank
from onnxprune.errors import UsageError
from onnxprune.groups import Groups

__all__ = ["CRITERIA", "Criterion", "Feed", "Options", "Scores", "score"]


@dataclass(frozen=True)
class Criterion:
    """A way to score channels.

    Attributes:
        function: Scores of the prunable groups, float64 (channels,) by group name; larger is kept longer.
        needs_data: Calibration inputs must be given.
    """

    function: Callable[[Groups, Options], Scores]
    needs_data: bool = False


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
}


def score(groups: Groups, criterion: str, *, feeds: Iterable[Feed] | None = None, seed: int = 0) -> Scores:
    """How much each channel matters by one criterion.

    Args:
        groups: From `find_groups`.
        criterion: A key of `CRITERIA`.
        feeds: Calibration inputs, batches of any size by input name; read once.
        seed: For criteria that draw.

    Raises:
        UsageError: E201, an unknown criterion.
        DataError: E501, E504, the criterion needs inputs and there are none.
        UnsupportedError: E403, the model lacks what the criterion looks at.
    """
    if criterion not in CRITERIA:
        near = get_close_matches(criterion, CRITERIA, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CRITERIA)}"
        raise UsageError("E201", f"unknown criterion {criterion!r}", hint=hint)
    return CRITERIA[criterion].function(groups, Options(feeds, seed))
