"""The original on both splits, before any episode is run: a sample that it fails on is told at once."""

from collections.abc import Callable

from onnxprune.data import Samples
from onnxprune.errors import DataError
from onnxprune.evaluation import Pool
from onnxprune.masks import all_true
from onnxprune.search.history import Scored
from onnxprune.search.scoring import Bench, Score, score_by
from onnxprune.search.selection import one_by


def score_originals(bench: Bench, score: Score) -> dict[str, Scored]:
    """What the original itself is worth, by name of the split.

    Args:
        bench: Of the search.
        score: Scores on the reward split.

    Raises:
        DataError: E506, it cannot be scored on one of them.
    """
    inputs = bench.inputs
    return {
        "reward": _original_on(bench, inputs.reward, "reward", lambda: score),
        "selection": _original_on(bench, inputs.selection, "selection", lambda: selecting(bench)),
    }


def selecting(bench: Bench) -> Score:
    """Scores on the selection split, in this process."""
    return score_by(Pool(bench.evaluator(bench.inputs.selection, race=False)))


def _original_on(bench: Bench, samples: Samples, split: str, scores: Callable[[], Score]) -> Scored:
    try:
        found = one_by(scores())(all_true(bench.inputs.groups))
    except DataError as error:  # the original gives NaN: candidates could not be compared with it
        error.message = f"{error.message} (on the {split} split)"
        raise
    if found.accuracy is None:
        raise DataError(
            "E506",
            f"{samples.source}: the original cannot be scored on the {split} split",
            cause=found.error,
            hint="repair the samples that it fails on or leave them out, or give another --metric",
        )
    return found
