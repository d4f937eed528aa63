"""What the searches of a study came to, and which agents are trained."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import mean, stdev
from typing import Any

from onnxprune.runs.folder import Document, RunFolder, read_json
from onnxprune.search.journal import CURVE, FOLDER
from onnxprune.study.cells import CONTROL, MODELS, SEARCHES, Cell, Row
from onnxprune.study.options import StudyOptions
from onnxprune.study.working import DONE, KEPT

QUANTITIES = ("macs", "params", "bytes")
Case = tuple[str, str, str]  # model, target, agent


@dataclass(frozen=True)
class Record:
    """One cell. Figures are as the metric counts; those that are not there yet, or never will be, are None.

    Attributes:
        model, target, agent, seed: Which.
        state: How its search ended.
        evaluations, distinct: Candidates that it evaluated, and how many of them differed.
        reward, selection: Of its choice, on the samples that candidates, and finalists, were judged on.
        macs, params, bytes: What its choice leaves of the original's cost.
        original, repaired, trained: Figures on the test part: of the original; of its choice, pruned and
            repaired without training; of the same trained.
    """

    model: str
    target: str
    agent: str
    seed: int
    state: str
    evaluations: int | None = None
    distinct: int | None = None
    reward: float | None = None
    selection: float | None = None
    macs: float | None = None
    params: float | None = None
    bytes: float | None = None
    original: float | None = None
    repaired: float | None = None
    trained: float | None = None

    @property
    def row(self) -> Case:
        """What the seeds are averaged over."""
        return self.model, self.target, self.agent


@dataclass(frozen=True)
class Judged:
    """What a study is judged by.

    Attributes:
        metric: Of the searches.
        sign: Of its figures, so that more is better.
        tested: The metric of the test part; "" where nothing was measured there.
    """

    metric: str
    sign: int
    tested: str


def record_of(run: RunFolder, cell: Cell) -> Record:
    """What is known of a cell so far."""
    state = str(run.box(f"{SEARCHES}/{cell.name}").get("state", "not done"))
    known = Record(*case_of(cell.row), cell.seed, state)
    if state != DONE:
        return known
    found = read_json(run.path / SEARCHES / cell.name / "search.json")
    best, whole = found["best"], found["original"]["cost"]
    shares: dict[str, Any] = {name: best["cost"][name] / max(1, whole[name]) for name in QUANTITIES}
    return replace(
        known,
        evaluations=found["history"]["evaluations"],
        distinct=found["history"]["distinct"],
        reward=best["reward"],
        selection=best["selection"],
        **shares,
        **figures_of(run, cell),
    )


def case_of(row: Row) -> Case:
    return row.stem, row.target, row.agent


def figures_of(run: RunFolder, cell: Cell) -> dict[str, Any]:
    """Figures on the test part, where its model was made."""
    if not has_figures(run, cell):
        return {}
    folder = run.path / MODELS / cell.name
    measured, final = read_json(folder / "measurement.json"), read_json(folder / "choice.json")["final"]
    models, metric = measured["models"], measured["metric"]
    repaired = models.get("reconstructed", models["pruned"])
    figures = {"original": models["original"], "repaired": repaired}
    if "student" in models:  # the best by the search part, should the training not have helped
        figures["trained"] = models[final]
    return {name: float(model["test"][metric]) for name, model in figures.items()}


def has_figures(run: RunFolder, cell: Cell) -> bool:
    """Whether the model of a cell was made and measured."""
    state = run.box(f"{MODELS}/{cell.name}").get("state")
    return state in KEPT and (run.path / MODELS / cell.name / "choice.json").exists()


def judged_by(run: RunFolder, cells: Iterable[Cell]) -> Judged:
    """The metrics of the searches and of the models that are done; all of a study have the same."""
    metric, sign, tested = "", 1, ""
    for cell in cells:
        if not metric and run.box(f"{SEARCHES}/{cell.name}").get("state") == DONE:
            found = read_json(run.path / SEARCHES / cell.name / "search.json")
            metric, sign = found["metric"], -1 if found["lower_is_better"] else 1
        if not tested and has_figures(run, cell):
            tested = read_json(run.path / MODELS / cell.name / "measurement.json")["metric"]
    return Judged(metric, sign, tested)


def chosen_agents(records: Sequence[Record], options: StudyOptions, sign: int) -> set[Case]:
    """Rows that are trained: the best of each model and target on the selection split, and the control.

    The control is `CONTROL` and takes no place of the best.
    """
    if not options.distill.enabled:
        return set()
    ranked: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for row, some in by_row(records, sign).items():
        known = any(record.selection is not None for record in some)
        if known and (row[2] != CONTROL or CONTROL in options.agents):
            ranked[row[:2]].append(row)
    best = {row for rows in ranked.values() for row in rows[: options.distill.top]}
    return best | {record.row for record in records if record.agent == CONTROL}


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of what is known of n records."""

    count: int
    mean: float
    deviation: float

    @staticmethod
    def of(values: Iterable[float | None]) -> "Spread | None":
        known = [value for value in values if value is not None]
        if not known:
            return None
        return Spread(len(known), mean(known), stdev(known) if len(known) > 1 else 0.0)


def by_row(records: Iterable[Record], sign: int) -> dict[Case, list[Record]]:
    """Records of each row; within a model and target the best by the selection split first.

    What failed from some seeds stands behind what did not.
    """
    found: dict[Case, list[Record]] = defaultdict(list)
    for record in records:
        found[record.row].append(record)

    def place(row: Case) -> tuple[int, int, float]:
        spread = Spread.of(record.selection for record in found[row])
        if spread is None:
            return cases.index(row[:2]), 0, inf
        return cases.index(row[:2]), -spread.count, -sign * spread.mean

    cases = list(dict.fromkeys(row[:2] for row in found))
    return {row: found[row] for row in sorted(found, key=place)}


def curve_of(run: RunFolder, cell: Cell, sign: int) -> list[float | None]:
    """The best so far on the reward split after each evaluation; None before one met the target."""
    path = run.path / SEARCHES / cell.name / FOLDER / CURVE
    with path.open(encoding="utf-8", newline="") as lines:
        return [sign * float(row["best"]) if row["best"] else None for row in csv.DictReader(lines)]


def document(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else vars(spread)


def summary(records: Sequence[Record], judged: Judged) -> Document:
    """All of a study: every record, and means over the seeds."""
    names = ("reward", "selection", *QUANTITIES, "original", "repaired", "trained")
    return {
        "metric": judged.metric,
        "lower_is_better": judged.sign < 0,
        "test_metric": judged.tested,
        "rows": [
            {
                **dict(zip(("model", "target", "agent"), row, strict=True)),
                **{name: document(Spread.of(getattr(one, name) for one in some)) for name in names},
            }
            for row, some in by_row(records, judged.sign).items()
        ],
        "records": [vars(record) for record in records],
    }
