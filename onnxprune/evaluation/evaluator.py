"""Masks -> accuracy of the pruned and repaired model on the reward rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.data import Batch
from onnxprune.errors import DataError, UsageError
from onnxprune.evaluation.grams import Grams
from onnxprune.evaluation.racing import Bound, Race, reach_of
from onnxprune.evaluation.repairs import METHODS, Method, Repairs
from onnxprune.evaluation.rewards import SPREAD, Figures, Judge, check_rows, is_nan, rows_of
from onnxprune.groups import Groups
from onnxprune.masks import check_masks
from onnxprune.measurement.choice import Metric, metric_for
from onnxprune.measurement.metrics import METRICS
from onnxprune.measurement.running import run_batch
from onnxprune.measurement.session import Session, SessionSettings, make_session
from onnxprune.pruning import prune

Bits = NDArray[np.bool_]
Array = NDArray[Any]
STEPS = ("repair", "rewrite", "session", "run")


@dataclass(frozen=True)
class EvaluateOptions:
    """How candidates are judged.

    Attributes:
        repair: least-squares; moments, means and variances of the original; bias, its means alone; none.
        ridge: Damping of least squares, as a share of the mean diagonal of the Gram matrix.
        stretch: Give the outputs of least squares the variance that they have in the original.
        metric: A name of `METRICS`, package.module:function, or auto: top1 with labels, agreement with the
            original for classes, minus the mean squared error for anything else (of several outputs the
            relative one). Larger is better for all:
            where less is more, the figure is negated.
        batch_size: Rows of one run, for models that take any number.
        race: Give up on candidates that can hardly reach the level that is asked for.
        confidence: That none that does reach it is given up.
        bound: normal or bernstein; see racing.py.
        seed: Of the order of the rows.
        provider, threads: Of every session.
    """

    repair: Method = "least-squares"
    ridge: float = 1e-4
    stretch: bool = True
    metric: str = "auto"
    batch_size: int = 64
    race: bool = False
    confidence: float = 0.99
    bound: Bound = "normal"
    seed: int = 0
    provider: str = "cpu"
    threads: int = 1

    @property
    def races(self) -> bool:
        """Whether a candidate may be given up: a metric of the user has no figures of single rows."""
        return self.race and self.metric in ("auto", *METRICS)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What masks are worth.

    Attributes:
        accuracy: The figure over all rows, larger is better; of a candidate that was given up, an estimate
            from those that it ran on.
        rows: Samples that it ran on.
        abandoned: Whether it was given up.
        reach: What it could have reached with confidence; the accuracy itself where it ran on all rows.
        seconds: Of each step: repair, rewrite, session, run.
        figures: (rows,) of each row, in the evaluator's order; None for metrics of the user.
    """

    accuracy: float
    rows: int
    abandoned: bool = False
    reach: float = float("inf")
    seconds: Mapping[str, float] = field(default_factory=dict)
    figures: Figures | None = field(default=None, repr=False)


class Evaluator:
    """Scores masks, one after the other, always in the same way.

    evaluator = Evaluator(groups, gather(groups, feeds), list(reward.batches(64)))
    evaluator.evaluate(masks).accuracy  ->  0.874
    """

    def __init__(
        self,
        groups: Groups,
        grams: Grams,
        rewards: Sequence[Batch],
        options: EvaluateOptions | None = None,
    ) -> None:
        """Run the original once, where candidates are compared with it.

        Args:
            groups: Of the original.
            grams: From `gather` on the same groups; not looked at where nothing is repaired.
            rewards: The reward rows, with labels where there are some.
            options: How to judge.

        Raises:
            UsageError: E201, an unknown metric or repair.
            DataError: E504, no samples, or no labels for a metric that needs them; E506, the original's
                output is NaN.
        """
        self.groups = groups
        self.options = options = options or EvaluateOptions()
        if options.repair not in METHODS:
            raise UsageError(
                "E201", f"unknown repair {options.repair!r}", hint=f"there are {', '.join(METHODS)}"
            )
        self.settings = SessionSettings(
            options.provider, threads=options.threads, external_folder=groups.graph.path.parent
        )
        self.repairs = Repairs.of(
            groups, grams, method=options.repair, ridge=options.ridge, stretch=options.stretch
        )
        self.judge = self._judge(rewards)
        self.race = Race(options.confidence, options.bound, SPREAD.get(self.judge.metric.name))

    @property
    def metric(self) -> Metric:
        """What candidates are judged by; an accuracy is its figure times its sign."""
        return self.judge.metric

    @property
    def rows(self) -> int:
        """Samples of a full evaluation."""
        return self.judge.rows.count

    def _judge(self, rewards: Sequence[Batch]) -> Judge:
        graph, options = self.groups.graph, self.options
        rows = rows_of(rewards, size=options.batch_size, seed=options.seed)
        metric = metric_for(options.metric, graph, rows.batches[0])
        check_rows(metric, rows)
        output = graph.outputs[0].name
        if metric.name in METRICS and not METRICS[metric.name].needs_reference:
            return Judge(rows, metric, output)
        session = self.session({}, {})
        reference = [run_batch(session, batch) for batch in rows.batches]
        single = metric.name in METRICS and not METRICS[metric.name].every_output
        wanted = {output} if single else {value.name for value in graph.outputs}
        for name in sorted(wanted) if metric.name in METRICS else ():
            if any(is_nan(run[name]) for run in reference):
                raise DataError(
                    "E506",
                    f"output {name} of the original is NaN: nothing can be compared",
                    hint="" if name == output else f"--metric mse looks at output {output} alone",
                )
        kept = tuple({name: run[name] for name in run if name in wanted} for run in reference)
        return Judge(rows, metric, output, kept)

    def session(self, masks: Mapping[str, Bits], weights: Mapping[str, Array]) -> Session:
        """The pruned model, ready to run."""
        model = prune(self.groups, masks, weights=weights).SerializeToString()
        return make_session(model, self.settings, name=self.groups.graph.path.name)

    def evaluate(
        self,
        masks: Mapping[str, Bits],
        *,
        hopeless_below: float | None = None,
        incumbent: Figures | None = None,
    ) -> Evaluation:
        """What masks are worth. Nothing is remembered: equal arguments give equal results.

        Args:
            masks: Keep bits by group name.
            hopeless_below: With `race`, give up once the accuracy can hardly reach this.
            incumbent: Figures of another candidate on all rows; with them hopeless ones show much sooner.

        Raises:
            UsageError: E206, masks that do not fit the groups.
            ModelError: E309, the pruned model does not run.
            DataError: E503 to E506, the rows do not fit, or the figure is not finite.
        """
        check_masks(masks, self.groups)
        seconds: dict[str, float] = dict.fromkeys(STEPS, 0.0)
        with timed(seconds, "repair"):
            weights = self.repairs.weights(masks)
        with timed(seconds, "rewrite"):
            model = prune(self.groups, masks, weights=weights).SerializeToString()
        with timed(seconds, "session"):
            session = make_session(model, self.settings, name=self.groups.graph.path.name)
        with timed(seconds, "run"):
            level = hopeless_below if self.options.race and self.judge.by_itself else None
            return self._run(session, level, incumbent, seconds)

    def _run(
        self, session: Session, level: float | None, incumbent: Figures | None, seconds: dict[str, float]
    ) -> Evaluation:
        rows = self.judge.rows.count
        if not self.judge.by_row:
            accuracy = self.judge.whole(session)
            return Evaluation(accuracy, rows, reach=accuracy, seconds=seconds)
        parts: list[Figures] = []
        for part in self.judge.rows.parts():
            parts += [self.judge.figures(session, number) for number in part]
            figures = np.concatenate(parts)
            if level is None or len(figures) == rows:
                continue
            reach = reach_of(figures, incumbent, rows, self.race)
            if reach.most < level:
                return Evaluation(
                    reach.estimate, len(figures), abandoned=True, reach=reach.most, seconds=seconds
                )
        accuracy = float(figures.mean())
        return Evaluation(accuracy, rows, reach=accuracy, seconds=seconds, figures=figures)


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add what a step takes, in place."""
    start = perf_counter()
    try:
        yield
    finally:
        seconds[step] += perf_counter() - start
