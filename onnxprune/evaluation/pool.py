"""Many candidates: one after the other here, in other processes, or on a Dask cluster.

    with Pool(spec, workers=4) as pool:
        for scored in pool.score(list_of_masks):
            ...

A candidate's result does not depend on where it is evaluated, nor on what else is evaluated.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation.cache import EvaluationCache
from onnxprune.evaluation.evaluator import Evaluation, Evaluator
from onnxprune.evaluation.rewards import Figures
from onnxprune.evaluation.spec import EvaluatorSpec, evaluator_of
from onnxprune.evaluation.workers import Workers, waiting_for
from onnxprune.masks import masks_hash

Bits = NDArray[np.bool_]
Masks = Mapping[str, Bits]
REBUILDS = 2  # of one batch, before its candidates run one at a time


@dataclass(frozen=True)
class Scored:
    """What became of one candidate.

    Attributes:
        evaluation: None where scoring failed.
        error: Why.
        cached: It was evaluated before.
    """

    evaluation: Evaluation | None
    error: str = ""
    cached: bool = False


@dataclass(frozen=True, eq=False)
class Task:
    """One candidate on its way to a worker.

    Attributes:
        masks: See `Evaluator.evaluate`.
        level, incumbent: Its `hopeless_below` and `incumbent`.
    """

    masks: dict[str, Bits]
    level: float | None = None
    incumbent: Figures | None = field(default=None, repr=False)


def run(evaluator: Evaluator, task: Task) -> Scored:
    """Evaluate; an error is told, not raised."""
    try:
        found = evaluator.evaluate(task.masks, hopeless_below=task.level, incumbent=task.incumbent)
    except OnnxPruneError as error:
        return Scored(None, f"{error.code}: {error.message}{f': {error.cause}' if error.cause else ''}")
    except Exception as error:  # noqa: BLE001 - whatever one candidate meets, the others are not to blame
        return Scored(None, f"{type(error).__name__}: {error}")
    return Scored(found)


def run_there(spec: EvaluatorSpec, task: Task) -> Scored:
    """The same in a worker, which builds the evaluator once; what is wrong with that is told too."""
    try:
        evaluator = evaluator_of(spec)
    except OnnxPruneError as error:
        return Scored(None, f"{error.code}: {error.message}")
    return run(evaluator, task)


class Pool:
    """Scores candidates, and remembers what they were worth."""

    def __init__(
        self,
        work: Evaluator | EvaluatorSpec,
        *,
        workers: int = 1,
        executor: Executor | None = None,
        rebuilds: int = REBUILDS,
    ) -> None:
        """Nothing is started before it is needed.

        Args:
            work: What evaluates; workers of their own need a spec.
            workers: Processes; 0 or 1: this one.
            executor: Runs the evaluations instead, such as `distributed.Client(...).get_executor()`; it is
                left open in the end.
            rebuilds: How often workers that died are replaced in one call of `score`, before the
                candidates that are left run one at a time, to tell which one kills them.
        """
        self.cache = EvaluationCache()
        self._work = work
        self._rebuilds = rebuilds
        self._workers: Workers | None = None
        if executor is not None or workers > 1:
            assert isinstance(work, EvaluatorSpec), "workers need a spec, not an evaluator of this process"
            self._workers = Workers(max(1, workers), executor)

    def score(
        self,
        candidates: Sequence[Masks],
        *,
        hopeless_below: float | None = None,
        against: Masks | None = None,
    ) -> Iterator[Scored]:
        """What each of these is worth, in their order, each as soon as it and those before it are known.

        Args:
            candidates: Masks; equal ones are evaluated once.
            hopeless_below: See `Evaluator.evaluate`.
            against: Masks of a good candidate, to race against; they are evaluated first where they were not.

        Raises:
            KeyboardInterrupt: Passed on, once all workers are stopped.
        """
        racing = hopeless_below is not None and self._work.options.races
        incumbent = self._incumbent(against) if racing else None
        tasks, firsts = list[Task](), dict[str, int]()
        known: list[Scored | int] = []  # what is known, or the number of the task
        for masks in candidates:
            found, key = self.cache.look(masks, hopeless_below), masks_hash(masks)
            if found is not None:
                known.append(Scored(found, cached=True))
            elif key in firsts:
                known.append(firsts[key])
            else:
                known.append(firsts.setdefault(key, len(tasks)))
                tasks.append(Task(dict(masks), hopeless_below, incumbent))
        made: list[Scored] = []
        with closing(self._run(tasks)) as coming:
            for entry in known:
                if isinstance(entry, Scored):
                    yield entry
                    continue
                repeated = entry < len(made)
                while entry >= len(made):
                    made.append(self._kept(tasks[len(made)], next(coming)))
                yield replace(made[entry], cached=repeated)

    def _kept(self, task: Task, scored: Scored) -> Scored:
        if scored.evaluation is not None:
            self.cache.keep(task.masks, scored.evaluation)
        return scored

    def _incumbent(self, masks: Masks | None) -> Figures | None:
        """Figures of each row of these masks; None where there are none."""
        if masks is None:
            return None
        figures = self.cache.figures(masks)
        if figures is None:
            task = Task(dict(masks))
            for scored in self._run([task]):
                self._kept(task, scored)
            figures = self.cache.figures(masks)
        return figures

    def _run(self, tasks: Sequence[Task]) -> Generator[Scored, None, None]:
        """Results in order."""
        if self._workers is not None:
            return in_order(self._there(self._workers, tasks))
        return self._here(tasks)

    def _here(self, tasks: Sequence[Task]) -> Generator[Scored, None, None]:
        work = self._work
        for task in tasks:
            yield run(work, task) if isinstance(work, Evaluator) else run_there(work, task)

    def _there(self, workers: Workers, tasks: Sequence[Task]) -> Generator[tuple[int, Scored], None, None]:
        """Number and result of each as it comes; tasks of workers that died are given to others."""
        left, losses = dict(enumerate(tasks)), 0
        try:
            while left:
                alone = losses > self._rebuilds
                chosen = list(left)[:1] if alone else list(left)
                futures = {n: workers.submit(run_there, self._work, left[n]) for n in chosen}
                lost = ""
                for number, outcome in waiting_for(futures):
                    if isinstance(outcome, Scored):
                        del left[number]
                        yield number, outcome
                    else:
                        lost = f"{type(outcome).__name__}: {outcome}"
                if lost:
                    losses += 1
                    workers.renew()
                if lost and alone:  # this one kills its worker; the others may run side by side again
                    losses = 0
                    del left[chosen[0]]
                    yield chosen[0], Scored(None, f"its worker died: {lost}")
        except BaseException:
            workers.renew()
            raise

    def close(self) -> None:
        """Stop all workers."""
        if self._workers is not None:
            self._workers.renew()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def in_order(pairs: Generator[tuple[int, Scored], None, None]) -> Generator[Scored, None, None]:
    """Results by their numbers from 0 on, each as soon as all before it are there."""
    early: dict[int, Scored] = {}
    following = 0
    with closing(pairs):
        for number, scored in pairs:
            early[number] = scored
            while following in early:
                yield early.pop(following)
                following += 1
