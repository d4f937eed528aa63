"""What every box has at hand: the original, the model that a stage prunes, the samples, the folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from onnxprune.compression.asking import NONE, Asked, asked_agent
from onnxprune.compression.descent import Descent, trace
from onnxprune.compression.files import SEARCH
from onnxprune.compression.inputs import Parts, counted_by, open_parts, prune_options
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import CompressOptions
from onnxprune.compression.stages import Stage, on_base
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.data import Samples, choose
from onnxprune.groups import Groups
from onnxprune.latency import TimedCostModel
from onnxprune.latency.run_file import TABLE, read_table
from onnxprune.masks import Masks, load_masks
from onnxprune.onnx_file import Graph
from onnxprune.pipeline import PruneOptions, load_groups, require_prunable
from onnxprune.runs.folder import RunFolder, read_json
from onnxprune.search.inputs import counting
from onnxprune.target import parse_target
from onnxprune.target.bounds import texts_of

PREFERRED = ("obs", "wanda")  # of the criteria, by falling promise


@dataclass(frozen=True)
class Base:
    """The model that a stage prunes.

    Attributes:
        groups: Of it.
        options: Of the run, its model and its target in terms of this model.
        floors: Least numbers of channels of its groups, where `min_keep` is of another model.
        descent: How it came of the original; None: it is the original.
    """

    groups: Groups
    options: CompressOptions
    floors: Mapping[str, int] = field(default_factory=dict)
    descent: Descent | None = None


@dataclass(frozen=True)
class Work:
    """What every box has at hand.

    Attributes:
        options: Of the stage; of the run, where there is one stage.
        run: Its folder.
        groups: Of the original.
        cost_model: Of the groups; it knows the latency where the target bounds it.
        parts: The samples.
        asked: Who chooses the masks.
        listener: Who is told.
        stage: Which one it is.
    """

    options: CompressOptions
    run: RunFolder
    groups: Groups
    cost_model: CostModel
    parts: Parts
    asked: Asked
    listener: Listener
    stage: Stage = field(default_factory=Stage)

    @property
    def searched(self) -> bool:
        return self.asked.agent != NONE

    @property
    def graph(self) -> Graph:
        """The original."""
        return self.groups.graph

    def at(self, name: str) -> Path:
        """A file of the stage."""
        return self.run.path / self.named(name)

    def named(self, name: str) -> str:
        """A file or a box of the stage, as the run names it."""
        return self.stage.folder + name

    def reads(self, names: Iterable[str]) -> tuple[str, ...]:
        """Files of the stage and those of earlier ones, as the run names them."""
        return (*self.stage.reads, *map(self.named, names))

    @property
    def pruning(self) -> PruneOptions:
        """What is asked for, in terms of the original."""
        return prune_options(self.options, self.criterion)

    @property
    def criterion(self) -> str:
        """As asked, or the most promising that there is."""
        wanted = self.options.prune.criterion
        return next(name for name in PREFERRED if name in CRITERIA) if wanted == "auto" else wanted

    @cached_property
    def base(self) -> Base:
        """The model that is pruned: the original, or what the stage before left.

        Raises:
            UnsupportedError: E402, it has no group of the original's that could lose more.
        """
        return self._left_before() if self.stage.earlier else Base(self.groups, self.options)

    def _left_before(self) -> Base:
        before = self.run.path / self.stage.earlier[-1].folder
        latency = read_json(before / "prune.json")["latency"]
        target = on_base(
            self.pruning.target, self.cost_model.count({}), 1.0 if latency is None else latency["ratio"]
        )
        model = before / "final.onnx"
        options = replace(self.options, model=str(model.absolute()), target=texts_of(target))
        masks = load_masks(before / "masks.json", self.groups)
        descent = trace(self.groups, masks, load_groups(model, self.pruning))
        require_prunable(descent.groups)
        least = self.pruning.constraints.least
        floors = {own: least(self.groups[name]) for own, name in descent.origins.items()}
        return Base(descent.groups, options, floors, descent)

    @property
    def base_pruning(self) -> PruneOptions:
        """What is asked for, in terms of the model that is pruned."""
        asked = replace(self.pruning, target=parse_target(self.base.options.target))
        return replace(asked, constraints=replace(asked.constraints, floors=self.base.floors))

    @cached_property
    def base_cost(self) -> CostModel:
        """Of the groups of the model that is pruned.

        Raises:
            TargetError: E701, no masks of it meet the target.
        """
        if self.base.descent is None:
            return self.cost_model
        asked, searching = self.base_pruning, RunFolder(self.at(SEARCH), {})
        if asked.target.times and (searching.path / TABLE).exists():
            table = read_table(searching, asked.target)
            assert table is not None
            return TimedCostModel(self.base.groups, table)
        return counting(self.base.groups, asked)

    def tell_base(self) -> None:
        """Tell what a later stage counts from: another model than the original."""
        if self.base.descent is not None:
            left, target = self.stage.earlier[-1].number, " ".join(self.base.options.target)
            self.listener.note(
                f"  from here on the original is what stage {left} left, and {target} of it asked"
            )

    def total(self, own: Masks) -> Masks:
        """Masks of the model that is pruned as masks of the original."""
        descent = self.base.descent
        return own if descent is None else descent.total(own)

    def own(self, masks: Masks) -> Masks:
        """Masks of the original as masks of the model that is pruned."""
        descent = self.base.descent
        return masks if descent is None else descent.own(masks)

    def masks(self) -> Masks:
        """What the stage keeps of the original."""
        return load_masks(self.at("masks.json"), self.groups)

    def calibration(self) -> Samples:
        return choose(self.parts.fit, self.options.reconstruct.rows, seed=self.options.seed)


def make_work(options: CompressOptions, run: RunFolder, listener: Listener) -> Work:
    """The model and the samples, opened.

    Raises:
        ModelError, UnsupportedError, DataError: They cannot be used.
        UsageError: E208, what was measured of the latency is missing or damaged.
    """
    asked = prune_options(options, options.prune.criterion)
    groups = load_groups(Path(options.model), asked)
    table = read_table(run, counted_by(options).target)
    cost_model = CostModel(groups) if table is None else TimedCostModel(groups, table)
    parts = open_parts(options, groups.graph)
    return Work(options, run, groups, cost_model, parts, asked_agent(options, parts), listener)


def at_stage(work: Work, stage: Stage) -> Work:
    """The same for a stage; its model is opened where a box asks for it."""
    options = stage.options(work.options, work.cost_model.count({}))
    return replace(work, options=options, stage=stage)
