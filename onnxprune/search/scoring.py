"""Masks scored by evaluators here, in other processes or on a cluster, each with what it must reach."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxprune.agents.types import Problem
from onnxprune.data import Samples
from onnxprune.errors import DataError
from onnxprune.evaluation import (
    EvaluateOptions,
    Evaluator,
    EvaluatorSpec,
    Explained,
    Grams,
    Method,
    Pool,
    dask_executor,
    gram_file,
    load_grams,
    reward_file,
)
from onnxprune.masks import Masks
from onnxprune.search.history import History, Scored, unpack
from onnxprune.search.inputs import CALIBRATION_BATCH, Inputs
from onnxprune.search.listener import unheard

RECENT = 64  # episodes whose median a candidate must be able to reach
ENOUGH = 16  # of them, before any is given up


@dataclass(frozen=True, eq=False)
class Level:
    """What a candidate must be able to reach, or it is given up.

    Attributes:
        accuracy: None: none is given up.
        against: Masks of the best so far, to race against.
    """

    accuracy: float | None = None
    against: Masks | None = None


NO_LEVEL = Level()
# Masks -> what each is worth, in their order; it may give one after the other while it works.
Score = Callable[[Sequence[Masks], Level], Iterable[Scored]]


def level_of(history: History, problem: Problem) -> Level:
    """The median of the last episodes that met the target: who is surely below it teaches only that."""
    last = history.episodes[-RECENT:]
    recent = [e.accuracy for e in last if e.accuracy is not None and e.feasible]
    if len(recent) < ENOUGH or history.best is None:
        return NO_LEVEL
    return Level(float(np.median(recent)), unpack(history.best.bits, problem.order))


def score_by(pool: Pool) -> Score:
    """A score of what a pool evaluates."""

    def score(masks: Sequence[Masks], level: Level) -> Iterator[Scored]:
        for found in pool.score(masks, hopeless_below=level.accuracy, against=level.against):
            if found.evaluation is None:
                yield Scored(None, 0, found.error)
            else:
                yield Scored(found.evaluation.accuracy, found.evaluation.rows)

    return score


@dataclass(frozen=True)
class Bench:
    """What evaluators of one search are made of.

    Attributes:
        inputs: Of the search.
        folder: Where sums and rows lie while it runs.
        grams: File of the sums; None where nothing is repaired.
    """

    inputs: Inputs
    folder: Path
    grams: Path | None

    @staticmethod
    def of(inputs: Inputs, folder: Path, note: Callable[[str], None] = unheard) -> "Bench":
        """With the sums gathered, or those of an earlier start; `note` is told before.

        Raises:
            DataError, ModelError: The calibration samples do not fit the model, or it does not run.
            RuntimeProblem: E605, the disk is full.
        """
        if inputs.options.evaluate.repair == "none":
            return Bench(inputs, folder, None)
        note(f"[calibration] {inputs.calibrating}, to repair candidates from")
        batches = inputs.calibration.batches(CALIBRATION_BATCH)
        return Bench(inputs, folder, gram_file(inputs.groups, (b.inputs for b in batches), folder))

    @contextmanager
    def pool(self, samples: Samples) -> Iterator[Pool]:
        """Evaluates on a split, where the options say."""
        options = self.inputs.options
        if options.cluster is not None:
            with (
                dask_executor(options.cluster) as executor,
                Pool(self.spec(samples), executor=executor) as pool,
            ):
                yield pool
        elif options.workers > 1:
            with Pool(self.spec(samples), workers=options.workers) as pool:
                yield pool
        else:
            with Pool(self.evaluator(samples, race=options.evaluate.race)) as pool:
                yield pool

    def options(self, *, race: bool) -> EvaluateOptions:
        settings = self.inputs.options.evaluate
        repair: Method = settings.repair  # type: ignore[assignment]  # checked before
        seed = self.inputs.options.seed
        return EvaluateOptions(repair=repair, metric=self.inputs.metric.name, race=race, seed=seed)

    def evaluator(self, samples: Samples, *, race: bool) -> Evaluator:
        """Judges masks on a split, in this process.

        Raises:
            DataError: E504, no samples, or no labels for a metric that needs them; E506, the original gives
                NaN.
        """
        options = self.options(race=race)
        batches = list(samples.batches(options.batch_size))
        try:
            return Evaluator(self.inputs.groups, self.sums(), batches, options)
        except DataError as error:
            error.message = f"{samples.source}: {error.message}"
            raise

    def sums(self) -> Grams:
        return {} if self.grams is None else load_grams(self.grams)

    def explained(self) -> Explained | None:
        """What masks leave explained; None without sums."""
        return None if self.grams is None else Explained(self.inputs.groups, self.sums())

    def spec(self, samples: Samples) -> EvaluatorSpec:
        """The same for other processes."""
        options = self.options(race=self.inputs.options.evaluate.race)
        rewards = reward_file(list(samples.batches(options.batch_size)), self.folder)
        heads = self.inputs.options.channels.heads
        return EvaluatorSpec.of(self.inputs.groups, rewards, self.grams, options=options, heads=heads)
