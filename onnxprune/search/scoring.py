"""Masks scored by an evaluator, one after the other; what raises is an episode that failed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.data import Samples
from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation import EvaluateOptions, Evaluator, Grams, Method, gather
from onnxprune.masks import Masks
from onnxprune.search.history import History, Scored
from onnxprune.search.inputs import CALIBRATION_BATCH, Inputs

RECENT = 64  # episodes whose median a candidate must be able to reach
ENOUGH = 16  # of them, before any is given up


@dataclass(frozen=True, eq=False)
class Level:
    """What a candidate must be able to reach, or it is given up.

    Attributes:
        accuracy: None: none is given up.
        incumbent: (rows,) figures of the best so far; None where there are none.
    """

    accuracy: float | None = None
    incumbent: NDArray[np.float64] | None = None


NO_LEVEL = Level()


def level_of(history: History, incumbent: NDArray[np.float64] | None) -> Level:
    """The median of the last episodes that met the target: who is surely below it teaches only that."""
    recent = [e.accuracy for e in history.episodes[-RECENT:] if e.accuracy is not None and e.outcome.feasible]
    return Level(float(np.median(recent)), incumbent) if len(recent) >= ENOUGH else NO_LEVEL


@dataclass(frozen=True)
class LocalScore:
    """Evaluations in this process."""

    evaluator: Evaluator

    def __call__(self, masks: Sequence[Masks], level: Level = NO_LEVEL) -> Iterator[Scored]:
        for one in masks:
            yield self.score(one, level)

    def score(self, masks: Masks, level: Level = NO_LEVEL) -> Scored:
        """What masks are worth; an error is told in the result."""
        try:
            found = self.evaluator.evaluate(masks, hopeless_below=level.accuracy, incumbent=level.incumbent)
        except Exception as error:  # noqa: BLE001 - metrics of the user may raise anything
            return Scored(None, 0, told(error))
        return Scored(found.accuracy, found.rows, figures=found.figures)


def told(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OnnxPruneError):
        return f"{error.code}: {error.message}" + (f" ({error.cause})" if error.cause else "")
    return f"{type(error).__name__}: {error}".splitlines()[0]


def gather_grams(inputs: Inputs) -> Grams:
    """What repairs need, from the calibration samples; nothing where nothing is repaired."""
    if inputs.options.evaluate.repair == "none":
        return {}
    samples = inputs.calibration
    return gather(inputs.groups, (batch.inputs for batch in samples.batches(CALIBRATION_BATCH)))


def make_evaluator(inputs: Inputs, grams: Grams, samples: Samples, *, race: bool) -> Evaluator:
    """Judges masks on a split.

    Raises:
        DataError: E504, no samples, or no labels for a metric that needs them.
    """
    settings = inputs.options.evaluate
    repair: Method = settings.repair  # type: ignore[assignment]  # checked before
    options = EvaluateOptions(repair=repair, metric=inputs.metric.name, race=race, seed=inputs.options.seed)
    return Evaluator(inputs.groups, grams, list(samples.batches(options.batch_size)), options)
