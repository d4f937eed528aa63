"""What the operators state about a graph, beside the equations between labels: cuts, costs and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxprune.onnx_file import Edge
from onnxprune.operators.labels import AxisLabels, Labels, LabelStore


@dataclass(frozen=True)
class Cut:
    """A contraction: the consumer input whose removed channels the masked original ignores."""

    edge: Edge
    axis: int
    labels: Labels


@dataclass(frozen=True)
class MacTerm:
    """MACs of one contraction: `fixed` times the extents of these axes, or counts of these labels."""

    node: str
    fixed: int
    axes: tuple[tuple[str, int] | Labels, ...]


@dataclass(frozen=True)
class Binding:
    """An integer that counts labels: element `index` of a constant input, or of an attribute.

    `labels` None means that the number must stay as it is. `sign` -1: it counts from the end.
    `extra` is added to the count.
    """

    node: int
    place: int | str  # input slot, or attribute name
    index: int
    labels: AxisLabels
    sign: int = 1
    extra: int = 0


@dataclass(frozen=True)
class Supply:
    """A list of counts that the file leaves implicit and that must be written out."""

    node: int
    place: int | str
    parts: tuple[Labels, ...]
    drop_attribute: str = ""


@dataclass(frozen=True)
class Pin:
    """An attribute that the file leaves to a default, which would change with these labels."""

    node: int
    name: str
    value: float
    labels: Labels


@dataclass(frozen=True)
class Reindex:
    """A constant input that holds indices into an axis with these labels; along `axis` they may go."""

    node: int
    slot: int
    labels: Labels
    axis: int = 0


@dataclass(frozen=True)
class Choice:
    """One of several right couplings: the labels that carry the channels under the one taken."""

    node: int
    key: int
    options: int
    taken: int
    carrier: Labels


@dataclass
class Findings:
    """Everything that the operators state about a graph."""

    store: LabelStore = field(default_factory=LabelStore)
    cuts: list[Cut] = field(default_factory=list)
    macs: list[MacTerm] = field(default_factory=list)
    bindings: list[Binding] = field(default_factory=list)
    supplies: list[Supply] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    reindexes: list[Reindex] = field(default_factory=list)
    reads: list[Edge] = field(default_factory=list)  # computed numbers that operators read
    choices: list[Choice] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)  # nodes that could not be followed, and why
    fixed: dict[str, str] = field(default_factory=dict)  # values without any labels, and what fixes them


@dataclass(frozen=True)
class Options:
    """How to couple: whole heads or equal indices of all heads; choices fixed by an earlier pass."""

    heads: bool = False
    choices: Mapping[tuple[int, int], int] = field(default_factory=dict)
