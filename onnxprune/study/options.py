"""What decides a study: plain values in sections of a TOML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxprune.compression.options import DistillSettings, MeasureSettings
from onnxprune.data.options import ImageText
from onnxprune.runs.config import Schema, Values
from onnxprune.search.options import ChannelSettings, EvaluateSettings
from onnxprune.study.agent_text import with_policy

COMMAND = "study"
FREE_ON_RESUME = frozenset({"measure.latency_cache"})  # where, not what


@dataclass(frozen=True)
class TrainSettings(DistillSettings):
    """The training of the best; a section [distill] asks for it. See `DistillSettings`.

    The schedule is that of Wang et al. 2023 (arXiv 2301.05219) for CIFAR. It is the same for all, because the
    schedule matters more than who chose the channels.

    Attributes:
        enabled: Whether anything is trained; by itself where there is a section.
        top: Agents of each model and target that are trained, the best by what they were chosen by.
    """

    enabled: bool = False
    required: bool = True
    top: int = 3
    epochs: int = 120
    lr: float = 0.01
    batch: int = 128


@dataclass(frozen=True)
class StudyOptions:
    """Everything that decides a study: each agent on each model, for each target, from each seed.

    Attributes:
        models: Their files.
        agents: NAME or NAME:KEY=VALUE,..., as `search --agent` and `--agent-option` have them.
        targets: Bounds such as macs=50%; several that hold together stand in one text, with spaces.
        data: Samples to calibrate, learn and choose by; and to test on, where `test` is not given.
        test: Samples that are read once, when all is chosen.
        seeds: How many, from `seed` on.
        seed: The first.
        evaluations: Candidates that each search may evaluate.
        batch: Candidates of one update of an agent.
        prior: A key of `CRITERIA`, or auto: the most promising.
        map: KEY=INPUT, a key of the data for an input.
        samples: At most so many rows of each part.
        shape: NAME:1,3,224,224, extents of free inputs.
        channels, evaluate, images, distill, measure: See there. Where `measure.metric` is auto,
            models are judged as the searches are: on the test part, and trained beside untrained.
    """

    models: tuple[str, ...]
    agents: tuple[str, ...]
    targets: tuple[str, ...]
    data: str
    test: str | None = None
    seeds: int = 3
    seed: int = 0
    evaluations: int = 256
    batch: int = 16
    prior: str = "auto"
    map: tuple[str, ...] = ()
    samples: int | None = None
    shape: tuple[str, ...] = ()
    channels: ChannelSettings = field(default_factory=ChannelSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    images: ImageText = field(default_factory=ImageText)
    distill: TrainSettings = field(default_factory=TrainSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)

    @property
    def test_metric(self) -> str:
        """What models are judged by on the test part."""
        own = self.measure.metric
        return self.evaluate.metric if own == "auto" else own


SECTIONS: Mapping[str, type] = {
    "channels": ChannelSettings,
    "evaluate": EvaluateSettings,
    "images": ImageText,
    "distill": TrainSettings,
    "measure": MeasureSettings,
}
REQUIRED = {
    "models": 'list, such as models = ["model.onnx"]',
    "agents": 'list, such as agents = ["gat-ppo", "random"]; `onnxprune search --agents` lists them',
    "targets": 'list, such as targets = ["macs=50%"]',
    "data": 'entry, such as data = "train.npz"; it needs no labels',
}
SCHEMA = Schema(COMMAND, StudyOptions, SECTIONS, REQUIRED)


def read_study(path: Path) -> Values:
    """The values that a file gives, by key; paths in it count from where it lies.

    Raises:
        UsageError: E201, it cannot be read, or has a key that is not known, with its line.
    """
    values = SCHEMA.read(path)
    if any(name.startswith("distill.") for name in values):
        values.setdefault("distill.enabled", True)
    paths = [name for name in ("models", "data", "test") if name in values]
    found: Values = {name: beside(path, values[name]) for name in paths}
    if "agents" in values:
        found["agents"] = tuple(with_policy(one, lambda spec: beside(path, spec)) for one in values["agents"])
    return values | found


def beside(file: Path, spec: Any) -> Any:
    """A path from the folder of a file, where something lies there; else as it is."""
    if isinstance(spec, tuple):
        return tuple(beside(file, one) for one in spec)
    found = file.absolute().parent / str(spec)
    return str(found) if found.exists() else spec
