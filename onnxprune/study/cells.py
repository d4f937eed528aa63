"""The cells of a study: one search each, and the same search made a model."""

import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from onnxprune.compression.options import (
    CompressOptions,
    DistillSettings,
    PruneSettings,
    ReconstructSettings,
    SearchSettings,
)
from onnxprune.errors import UsageError
from onnxprune.search import SearchOptions
from onnxprune.search.options import ChannelSettings, LatencySettings
from onnxprune.study.agent_text import POLICY, apart, is_frozen
from onnxprune.study.options import StudyOptions

CONTROL = "uniform-l1"  # what every agent is compared with, and the only one that is always trained
CONTROL_AGENT = "one-shot:criteria=l1,allocations=uniform"
SEARCHES, MODELS, TABLES, SUMS = "searches", "models", "latency", "sums"  # folders


@dataclass(frozen=True)
class Row:
    """What is compared: an agent on one model, for one target."""

    model: str
    target: str
    agent: str

    @property
    def stem(self) -> str:
        return Path(self.model).stem

    @property
    def case(self) -> str:
        """Name of the model and the target."""
        return named(self.stem, self.target)


@dataclass(frozen=True)
class Cell:
    """One search."""

    row: Row
    seed: int

    @property
    def name(self) -> str:
        """Of its folders."""
        return named(self.row.stem, self.row.target, self.row.agent, f"s{self.seed}")

    def search(self, options: StudyOptions) -> SearchOptions:
        """What the search is asked for; all agents of a seed see the same samples."""
        text = CONTROL_AGENT if self.row.agent == CONTROL else self.row.agent
        carried, own = apart(text)
        return SearchOptions(
            self.row.model,
            options.data,
            tuple(self.row.target.split()),
            agent=text.partition(":")[0],
            agent_option=own,
            init_policy=carried.get(POLICY),
            freeze_encoder=is_frozen(text),
            prior=options.prior,
            evaluations=options.evaluations,
            batch=options.batch,
            seed=self.seed,
            map=options.map,
            samples=options.samples,
            holdout=options.test is None or options.test == options.data,
            shape=options.shape,
            channels=options.channels,
            evaluate=options.evaluate,
            latency=LatencySettings(options.measure.threads, cache=options.measure.latency_cache),
            images=options.images,
        )

    def compression(self, options: StudyOptions, study: Path, *, trained: bool) -> CompressOptions:
        """What is made of the masks that the search found; `study` is the folder."""
        settings = {field.name: getattr(options.distill, field.name) for field in fields(DistillSettings)}
        channels = {field.name: getattr(options.channels, field.name) for field in fields(ChannelSettings)}
        repaired = options.evaluate.repair != "none"
        return CompressOptions(
            self.row.model,
            options.data,
            tuple(self.row.target.split()),
            test=options.test,
            masks=str(study / SEARCHES / self.name / "masks.json"),
            map=options.map,
            samples=options.samples,
            shape=options.shape,
            seed=self.seed,
            images=options.images,
            prune=PruneSettings(**channels),
            search=SearchSettings(agent="none"),
            reconstruct=ReconstructSettings(enabled=repaired, rows=options.evaluate.calibration_rows),
            distill=DistillSettings(**{**settings, "enabled": trained}),
            measure=replace(options.measure, metric=options.test_metric),
        )


def named(*words: str) -> str:
    """A name that any disk takes."""
    return "_".join(re.sub(r"[^\w.=-]+", "-", word) for word in words)


def policies_of(options: StudyOptions) -> dict[str, str]:
    """Files of policies by agent, of those that begin with one."""
    searches = {row.agent: Cell(row, options.seed).search(options) for row in rows_of(options)}
    return {agent: asked.init_policy for agent, asked in searches.items() if asked.init_policy}


def rows_of(options: StudyOptions) -> list[Row]:
    """All comparisons, models first; with training also the control that every agent is compared with."""
    agents = dict.fromkeys((*options.agents, *((CONTROL,) if options.distill.enabled else ())))
    return [
        Row(model, target, agent)
        for model in options.models
        for target in options.targets
        for agent in agents
    ]


def cells_of(options: StudyOptions) -> list[Cell]:
    """All searches; those of one seed stand together, so that every agent has figures early."""
    seeds = range(options.seed, options.seed + options.seeds)
    return [Cell(row, seed) for seed in seeds for row in rows_of(options)]


def require_distinct(options: StudyOptions) -> None:
    """Raises: UsageError: E201, two cells would share a folder, or something is given twice."""
    seen: dict[str, Cell] = {}
    for cell in cells_of(replace(options, seeds=1)):
        other = seen.setdefault(cell.name.casefold(), cell)
        if other != cell:
            pair = [asdict(one.row) for one in (other, cell)]
            different = next(key for key in pair[0] if pair[0][key] != pair[1][key])
            raise UsageError(
                "E201",
                f"two searches would be called {cell.name}: {different} {pair[0][different]} and"
                f" {pair[1][different]}",
                hint="give them names that differ by more than signs",
            )
    for key in ("models", "agents", "targets"):
        values = getattr(options, key)
        double = next((value for value in values if values.count(value) > 1), None)
        if double is not None:
            raise UsageError("E201", f"{key} has {double} twice")
