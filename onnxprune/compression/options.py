"""What decides a compression: plain values in sections, the same on the command line and in a TOML file."""

from dataclasses import dataclass, field

from onnxprune.data.options import ImageText
from onnxprune.search.options import ChannelSettings


@dataclass(frozen=True)
class PruneSettings(ChannelSettings):
    """Which channels go; which may go, see `ChannelSettings`.

    Attributes:
        criterion: A key of `CRITERIA`, or auto: the best one that the samples allow. A search takes it as its
            prior.
        allocation: A key of `ALLOCATIONS`, or auto: global, where nothing is searched.
    """

    criterion: str = "auto"
    allocation: str = "auto"


@dataclass(frozen=True)
class SearchSettings:
    """Who chooses the masks; see `SearchOptions`.

    Attributes:
        agent: A name of `AGENTS`; none: criterion and allocation alone; auto: none where an allocation is
            named, else gat-ppo, or greedy where a package that it needs is not installed.
        agent_option: KEY=VALUE, options of the agent.
        variant: Of agents that come as published and repaired, paper or fixed; None for the agent's default.
        evaluations: Candidates to evaluate.
        batch: Candidates of one update of the agent.
        budget: Time after which no further batch begins, such as 20m; None: no limit.
        reward: Of agents that learn from rewards, which kind; None for the agent's default.
        init_policy: File of a policy to begin with; auto then is gat-ppo.
        freeze_encoder: Only the policy's heads learn.
        reward_rows: Samples that candidates are judged on at most; None: half of the search part.
        calibration_rows: Samples of the fit part, for repairs and criteria.
        race: Give up candidates that fall behind early.
        workers: Processes that evaluate; 0: this one.
        scheduler: Address of a Dask scheduler whose workers evaluate; None, or "none": there is none.
    """

    agent: str = "auto"
    agent_option: tuple[str, ...] = ()
    variant: str | None = None
    evaluations: int = 256
    batch: int = 16
    budget: str | None = None
    reward: str | None = None
    init_policy: str | None = None
    freeze_encoder: bool = False
    reward_rows: int | None = None
    calibration_rows: int = 1024
    race: bool = True
    workers: int = 0
    scheduler: str | None = None


@dataclass(frozen=True)
class StageSettings:
    """In how many steps the model comes down to the target; see stages.py.

    Attributes:
        count: Of the stages; each searches, prunes, repairs and trains what the one before left.
        stage_epochs: Of the training at the end of each stage but the last; 0: these are repaired alone.
    """

    count: int = 1
    stage_epochs: int = 0


@dataclass(frozen=True)
class ReconstructSettings:
    """The repair without training.

    Attributes:
        enabled: Whether it is done at all.
        method: least-squares, moments or bias.
        rows: Calibration rows at most, of the fit part.
    """

    enabled: bool = True
    method: str = "least-squares"
    rows: int = 1024


@dataclass(frozen=True)
class DistillSettings:
    """The training; see `DistillOptions` for what each field means.

    Attributes:
        enabled: Whether it is done at all.
        required: A model that cannot be trained is an error, not a warning.
        teacher: original, or best: the best model so far, where it scores higher on the search part.
        augment: Names by commas, or none; None for what fits the input.
    """

    enabled: bool = True
    required: bool = False
    teacher: str = "original"
    loss: str = "auto"
    alpha: float = 0.5
    temperature: float = 4.0
    match: tuple[str, ...] = ()
    epochs: int = 60
    batch: int = 128
    accumulate: int = 1
    optimizer: str = "sgd"
    lr: float = 0.0
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    clip_norm: float = 0.0
    ema: float = 0.998
    augment: str | None = None
    freeze_bn: bool = False
    insert_bn: bool = True
    precision: str = "auto"
    compile: bool | None = None
    patience: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class MeasureSettings:
    """How models are judged and timed.

    Attributes:
        metric: auto, a name of `METRICS`, or package.module:function.
        provider: Execution provider.
        threads: Of one operator.
        seconds: Of counted runs in all.
        latency_cache: Folder of times measured before, where the target bounds the latency; None:
            $ONNXPRUNE_CACHE, or the user's cache.
    """

    metric: str = "auto"
    provider: str = "auto"
    threads: int = 1
    seconds: float = 3.0
    latency_cache: str | None = None


@dataclass(frozen=True)
class CompressOptions:
    """Everything that decides the result of a run.

    Attributes:
        model: The original's file.
        data: Samples to calibrate, learn and choose by; and to test on, where `test` is not given.
        test: Samples that are read once, at the end.
        target: Bounds such as macs=50%.
        masks: File of masks to apply; nothing is searched then.
        map: KEY=INPUT, a key of the data for an input.
        samples: At most so many rows of each part.
        shape: NAME:1,3,224,224, extents of free inputs.
        seed: Of every random choice.
        images: How uint8 images become inputs.
        stages: How often search, prune, reconstruct and distill are done.
        search, prune, reconstruct, distill, measure: The boxes.
    """

    model: str
    data: str
    target: tuple[str, ...]
    test: str | None = None
    masks: str | None = None
    map: tuple[str, ...] = ()
    samples: int | None = None
    shape: tuple[str, ...] = ()
    seed: int = 0
    images: ImageText = field(default_factory=ImageText)
    prune: PruneSettings = field(default_factory=PruneSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    stages: StageSettings = field(default_factory=StageSettings)
    reconstruct: ReconstructSettings = field(default_factory=ReconstructSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)


# Decide how long a run takes and where, not what it gives: they may change when it is resumed.
FREE_ON_RESUME = frozenset({"search.budget", "search.workers", "search.scheduler", "measure.latency_cache"})
SECTIONS: dict[str, type] = {
    "images": ImageText,
    "prune": PruneSettings,
    "search": SearchSettings,
    "stages": StageSettings,
    "reconstruct": ReconstructSettings,
    "distill": DistillSettings,
    "measure": MeasureSettings,
}
