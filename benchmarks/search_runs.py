"""One search of `benchmarks.search`: the pieces of `onnxprune search` on fixed splits, all seconds counted.

The data: x_train, y_train, x_test, y_test, images in uint8 NHWC. Of the training images 1,024 are for the
full repair, the first 512 of them for criteria and the light repair too; 2,500 others select, and others
again are the reward rows. The test images are read once a search has chosen, for its choice alone.
Seconds are of processor time; the steps of an evaluation share its own as they share its wall time.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reconstruction import normalised
from onnxprune.agents.types import Floats, Problem
from onnxprune.cost import CostModel
from onnxprune.criteria import score
from onnxprune.data import Batch, Samples
from onnxprune.evaluation import EvaluateOptions, Evaluation, Evaluator, Explained, Grams, Pool, gather
from onnxprune.evaluation.evaluator import STEPS
from onnxprune.groups import Groups
from onnxprune.masks import Masks, all_true, load_masks, model_hash, save_masks
from onnxprune.measurement.choice import Metric, choose_metric
from onnxprune.pipeline import load_groups
from onnxprune.runs.folder import read_json, write_json
from onnxprune.search import Baseline, Listener, Loop, SearchOptions
from onnxprune.search.agents import make_agent
from onnxprune.search.history import History
from onnxprune.search.inputs import Inputs, make_problem, prune_options
from onnxprune.search.journal import CHECKPOINT, Journal
from onnxprune.search.options import EvaluateSettings
from onnxprune.search.scoring import score_by
from onnxprune.search.selection import Judges, Selection, fully_repaired, one_by, select
from onnxprune.study.agent_text import pairs

LIGHT, FULL, SELECTION = 512, 1024, 2500  # training images
BATCH = 64
DATA_SEED = 0  # of the splits, the same for all searches
LEDGER = "ledger.json"
Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What all searches of a folder share."""

    data: str
    evaluations: int
    rows: int
    batch: int = 16
    repair: str = "least-squares"
    race: bool = True
    prior: str = "auto"
    metric: str = "top1"


@dataclass(frozen=True)
class Case:
    """One search: a share of the MACs, NAME[:KEY=VALUE,...] of an agent, a seed."""

    share: str
    agent: str
    seed: int

    def name(self, stem: str) -> str:
        parts = (stem, self.share.rstrip("%"), self.agent, f"s{self.seed}")
        return "_".join(re.sub(r"[^\w.=-]+", "_", part) for part in parts)

    def options(self, model: Path, settings: Settings, calibration: int = LIGHT) -> SearchOptions:
        name, _, given = self.agent.partition(":")
        judged = EvaluateSettings(
            settings.metric, settings.repair, calibration_rows=calibration, race=settings.race
        )
        return SearchOptions(
            str(model),
            settings.data,
            (f"macs={self.share}",),
            agent=name,
            agent_option=tuple(pairs(given)),
            prior=settings.prior,
            evaluations=settings.evaluations,
            batch=settings.batch,
            seed=self.seed,
            evaluate=judged,
        )


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint, `light` in `full` apart."""

    light: Samples
    full: Samples
    reward: Samples
    selection: Samples
    test: Samples

    @staticmethod
    def read(path: str, entry: str, rows: int) -> "Splits":
        """Of a file with x_train, y_train, x_test, y_test; for a model whose input is called `entry`."""
        arrays = np.load(path)
        train, tested = ((arrays[f"x_{part}"], arrays[f"y_{part}"].reshape(-1)) for part in ("train", "test"))
        order = np.random.default_rng(DATA_SEED).permutation(len(train[0]))
        ends = np.cumsum([0, FULL, SELECTION, rows]).tolist()
        full, selection, reward = (order[a:b] for a, b in pairwise(ends))
        everything = np.arange(len(tested[0]))

        def part(source: str, index: NDArray[np.int64], images: tuple[Any, Any] = train) -> Samples:
            def chunks(size: int) -> Iterator[Batch]:
                for start in range(0, len(index), size):
                    some = index[start : start + size]
                    yield Batch({entry: normalised(images[0][some])}, images[1][some].astype(np.int64))

            return Samples(source, chunks, count=len(index), labelled=True)

        return Splits(
            part("light", full[:LIGHT]), part("full", full), part("reward", reward),
            part("selection", selection), part("test", everything, tested),
        )  # fmt: skip


@dataclass(eq=False)
class Scores:
    """Criteria of a model, each computed once, and the seconds that it took."""

    groups: Groups
    samples: Samples
    found: dict[str, dict[str, Floats]] = field(default_factory=dict)
    seconds: float = 0.0

    def __call__(self, criterion: str) -> Mapping[str, Floats]:
        if criterion not in self.found:
            began = process_time()
            try:
                feeds = self.samples.batches(BATCH)
                self.found[criterion] = dict(score(self.groups, criterion, feeds=feeds, seed=DATA_SEED))
            finally:
                self.seconds += process_time() - began
        return self.found[criterion]


@dataclass(eq=False)
class Ledger:
    """Seconds of a search, kept beside its checkpoint."""

    path: Path
    steps: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    evaluated: int = 0
    wall: float = 0.0

    @staticmethod
    def of(folder: Path) -> "Ledger":
        """That of an earlier start, where its checkpoint is there too."""
        path = folder / LEDGER
        if not (path.exists() and (folder / CHECKPOINT).exists()):
            return Ledger(path)
        return Ledger(path, **read_json(path))

    def save(self, wall: float) -> None:
        kept = {"steps": self.steps, "evaluated": self.evaluated, "wall": self.wall + wall}
        write_json(self.path, kept)


class Timed(Evaluator):
    """Writes down what its evaluations take."""

    ledger: Ledger

    def evaluate(self, masks: Mapping[str, NDArray[np.bool_]], **given: Any) -> Evaluation:
        cpu, wall = process_time(), perf_counter()
        found = super().evaluate(masks, **given)
        scale = (process_time() - cpu) / (perf_counter() - wall)
        for step, seconds in found.seconds.items():
            self.ledger.steps[step] += scale * seconds
        self.ledger.evaluated += 1
        return found


@dataclass(frozen=True, eq=False)
class Model:
    """A model with all that its searches share: nothing that was evaluated on the reward rows."""

    path: Path
    settings: Settings
    folder: Path

    @cached_property
    def groups(self) -> Groups:
        return load_groups(
            self.path, prune_options(Case("50%", "uniform", 0).options(self.path, self.settings))
        )

    @cached_property
    def splits(self) -> Splits:
        return Splits.read(self.settings.data, self.groups.graph.inputs[0].name, self.settings.rows)

    @cached_property
    def grams(self) -> Grams:
        return gather(self.groups, (batch.inputs for batch in self.splits.light.batches(BATCH)))

    @cached_property
    def explained(self) -> Explained:
        return Explained(self.groups, self.grams)

    @cached_property
    def scores(self) -> Scores:
        return Scores(self.groups, self.splits.light)

    @cached_property
    def selecting(self) -> Pool:
        """By the metric of the rewards, as `search` does: hits tell the best few apart by chance."""
        return Pool(self.evaluator(self.splits.selection, replace(self.rewarding, race=False)))

    @cached_property
    def testing(self) -> Evaluator:
        """On the test images, always with the light repair by least squares."""
        return self.evaluator(self.splits.test, EvaluateOptions(metric="top1"))

    @property
    def rewarding(self) -> EvaluateOptions:
        return EvaluateOptions(self.repair, metric=self.settings.metric, race=self.settings.race)

    @cached_property
    def metric(self) -> Metric:
        """Of rewards and selection; what is tested is top1."""
        return choose_metric(self.settings.metric, self.groups.graph, self.splits.reward)

    @cached_property
    def original_reward(self) -> float:
        judge = self.evaluator(self.splits.reward, replace(self.rewarding, repair="none", race=False))
        return float(judge.evaluate(all_true(self.groups)).accuracy)

    @cached_property
    def original_test(self) -> float:
        return float(self.testing.evaluate(all_true(self.groups)).accuracy)

    @property
    def repair(self) -> Any:
        return self.settings.repair

    def evaluator(self, samples: Samples, options: EvaluateOptions, kind: type[Evaluator] = Evaluator) -> Any:
        return kind(self.groups, self.grams, list(samples.batches(BATCH)), options)

    def inputs(self, case: Case, *, full: bool = False) -> Inputs:
        splits = self.splits
        options = case.options(self.path, self.settings, FULL if full else LIGHT)
        fit = splits.full if full else splits.light
        counting, constraints = CostModel(self.groups), prune_options(options).constraints
        judged = (splits.reward, splits.selection, self.metric)
        return Inputs(options, self.groups, fit, *judged, counting, constraints)

    def facts(self, case: Case) -> Record:
        """What a record was made for."""
        own = {**asdict(self.settings), "data": Path(self.settings.data).name}
        return {"model": self.path.stem, "sha256": model_hash(self.path), **asdict(case), **own}


def run(model: Model, case: Case) -> Record:
    """Search, or go on, and judge the choice on the test images; the record is written last, in place."""
    name = case.name(model.path.stem)
    folder = model.folder / name
    inputs, ledger = model.inputs(case), Ledger.of(folder)
    baseline = Baseline(model.original_reward, model.metric.name, model.metric.sign, model.settings.rows)
    evaluator: Timed = model.evaluator(model.splits.reward, replace(model.rewarding, seed=case.seed), Timed)
    evaluator.ledger = ledger
    problem = replace(make_problem(inputs), scores=model.scores, explained=model.explained)
    before, began, wall = model.scores.seconds, process_time(), perf_counter()
    agent = make_agent(problem, inputs.options)
    setup = process_time() - began - (model.scores.seconds - before)
    pool, listener = Pool(evaluator), Listener(detail=lambda _: ledger.save(perf_counter() - wall))
    loop = Loop(
        problem, agent, score_by(pool), baseline, Journal(folder), listener, batch=model.settings.batch,
        clock=lambda: process_time() - model.scores.seconds,
    )  # fmt: skip
    loop.resume()
    loop.run()
    seconds = {
        "elapsed": loop.elapsed_s, "scoring": loop.scoring_s, "setup": setup, **ledger.steps,
        "criteria": model.scores.seconds - before, "wall": ledger.wall + perf_counter() - wall,
    }  # fmt: skip
    record = {"made_for": model.facts(case), "seconds": seconds, "evaluated": ledger.evaluated}
    judges = Judges(one_by(loop.score), one_by(score_by(model.selecting)))
    chosen = select(problem, agent, loop.history, judges)
    return finish(model, name, record | found(model, problem, loop.history, chosen))


def found(model: Model, problem: Problem, history: History, chosen: Selection) -> Record:
    """What a search found, the test images read for its choice alone."""
    best = chosen.best
    return {
        "original": {"reward": model.original_reward, "test": model.original_test},
        "best": {
            "note": best.note, "episode": best.episode, "reward": best.reward, "selection": best.selection,
            "test": model.testing.evaluate(best.masks).accuracy, "test_full": None,
            "macs": best.cost.macs / problem.whole.macs, "violation": best.violation,
        },
        "history": history.summary(),
        "curve": curve_of(history),
        "masks": best.masks,
    }  # fmt: skip


def finish(model: Model, name: str, record: Record) -> Record:
    """Write masks and record; a checkpoint is of no more use."""
    masks: Masks = record.pop("masks")
    save_masks(model.folder / f"{name}.masks.json", masks, model.groups)
    write_json(model.folder / f"{name}.json", record)
    (model.folder / name / CHECKPOINT).unlink(missing_ok=True)
    return record


def curve_of(history: History) -> list[float | None]:
    """The best so far after each evaluation, on all reward rows; None before one meets the target."""
    best: list[float | None] = []
    for episode in history.episodes:
        last = best[-1] if best else None
        better = history.ranked(episode) and (last is None or (episode.accuracy or 0.0) > last)
        best.append(episode.accuracy if better else last)
    return best


def repair_fully(model: Model, case: Case, record: Record) -> Record:
    """Add the accuracy on the test images after the full repair of what was chosen, in place."""
    name = case.name(model.path.stem)
    masks = load_masks(model.folder / f"{name}.masks.json", model.groups)
    scored = fully_repaired(model.inputs(case, full=True), model.splits.test)(masks)
    if scored.accuracy is None:
        raise RuntimeError(scored.error)
    record["best"]["test_full"] = scored.accuracy
    write_json(model.folder / f"{name}.json", record)
    return record
