"""What decides a search: plain values in sections, the same on the command line and in a TOML file."""

from dataclasses import dataclass, field

from onnxprune.data.options import ImageText
from onnxprune.runs.config import Schema

COMMAND = "search"
# Decide how long a run takes and where, not what an evaluation gives: they may change when it is resumed.
NONE = "none"  # in place of a scheduler, so that a run can leave its cluster
FREE_ON_RESUME = frozenset({"budget", "workers", "scheduler", "tensorboard", "latency.cache"})


@dataclass(frozen=True)
class ChannelSettings:
    """Which channels may go.

    Attributes:
        align: auto, or a number of channels.
        device: Where the model will run, for `align` and for latencies.
        min_keep: Least share, or number, of channels kept in each group.
        skip, only: Patterns of what to leave alone, of what alone to prune.
        heads: Whole attention heads.
    """

    align: str = "auto"
    device: str = "cpu"
    min_keep: str = "10%"
    skip: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    heads: bool = False


@dataclass(frozen=True)
class LatencySettings:
    """How latency is measured, where the target bounds it; the provider is that of the channels.

    Attributes:
        threads: Of one operator; with one, processor time is the latency.
        require: Fail where another provider runs the model.
        cache: Folder of times measured before; None: $ONNXPRUNE_CACHE, or the user's cache.
    """

    threads: int = 1
    require: bool = False
    cache: str | None = None


@dataclass(frozen=True)
class EvaluateSettings:
    """What a candidate is worth.

    Attributes:
        metric: auto, a name of `METRICS`, or package.module:function.
        repair: Of the weights before a candidate is judged: least-squares, moments, bias or none.
        reward_rows: Samples that candidates are judged on at most; None: half of the search part.
        calibration_rows: Samples of the fit part, for repairs and criteria.
        race: Give up candidates that fall behind early.
        reconstruct_final: The full repair for the candidates that are compared at the end.
    """

    metric: str = "auto"
    repair: str = "least-squares"
    reward_rows: int | None = None
    calibration_rows: int = 1024
    race: bool = True
    reconstruct_final: bool = False


@dataclass(frozen=True)
class SearchOptions:
    """Everything that decides a run.

    Attributes:
        model: The original's file.
        data: Samples: the fit part to calibrate, the search part to choose by; the test part is not read.
        target: Bounds such as macs=50%.
        agent: A name of `AGENTS`.
        agent_option: KEY=VALUE, options of the agent.
        variant: Of agents that come as published and repaired, paper or fixed; None for the agent's default.
        reward: Of agents that learn from rewards, which kind; None for the agent's default.
        init_policy: File of a policy to begin with.
        freeze_encoder: Only the policy's heads learn.
        prior: A key of `CRITERIA`, or auto: the most promising.
        evaluations: Candidates to evaluate.
        batch: Candidates of one update of the agent.
        budget: Time after which no further batch begins, such as 20m; None: no limit.
        seed: Of every random choice.
        workers: Processes that evaluate; 0: this one.
        scheduler: Address of a Dask scheduler whose workers evaluate; None, or "none": there is none.
        tensorboard: Write figures for TensorBoard too.
        map: KEY=INPUT, a key of the data for an input.
        samples: At most so many rows of each part.
        holdout: A quarter of undivided samples is left alone for a test; else the fit part takes 80 %, the
            search part the rest.
        shape: NAME:1,3,224,224, extents of free inputs.
        channels, evaluate, latency, images: See there.
    """

    model: str
    data: str
    target: tuple[str, ...]
    agent: str = "gat-ppo"
    agent_option: tuple[str, ...] = ()
    variant: str | None = None
    reward: str | None = None
    init_policy: str | None = None
    freeze_encoder: bool = False
    prior: str = "auto"
    evaluations: int = 512
    batch: int = 16
    budget: str | None = None
    seed: int = 0
    workers: int = 0
    scheduler: str | None = None
    tensorboard: bool = False
    map: tuple[str, ...] = ()
    samples: int | None = None
    holdout: bool = True
    shape: tuple[str, ...] = ()
    channels: ChannelSettings = field(default_factory=ChannelSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    latency: LatencySettings = field(default_factory=LatencySettings)
    images: ImageText = field(default_factory=ImageText)

    @property
    def cluster(self) -> str | None:
        """Address of the scheduler; None where evaluations stay on this machine."""
        return None if self.scheduler == NONE else self.scheduler


SCHEMA = Schema(
    COMMAND,
    SearchOptions,
    {
        "channels": ChannelSettings,
        "evaluate": EvaluateSettings,
        "latency": LatencySettings,
        "images": ImageText,
    },
    required={
        "model": "the model's file",
        "data": "--data val.npz; it needs no labels",
        "target": "--target macs=50%",
    },
)
