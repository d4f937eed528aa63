"""What a plan is made of: steps that read values, call a function and name what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxprune.converters.host import HOST
from onnxprune.converters.signature import Function


@dataclass(frozen=True)
class Source:
    """Where one argument comes from.

    Attributes:
        name: A value of the environment; "" for a constant, or for an input that the node leaves out.
        constant: What is passed where there is no name.
        change: What must be done to the value: "", "tensor" (a host value becomes a tensor), or a kind of
            numbers ("ints", "floats", "int", "float": a tensor is read back).
        elem_type: ONNX's element type of a host value that becomes a tensor.
    """

    name: str = ""
    constant: Any = None
    change: str = ""
    elem_type: int = 0


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        function: Of the operator; None where host arithmetic computes the outputs.
        sources: Of the positional arguments.
        keywords: Attributes as Python values, tensors or bodies.
        asks: Which of the walker's values the function takes.
        outputs: Names that the results get; "" for one that nobody reads.
        drops: Values that nobody reads after this step.
        node, op_type: For messages.
    """

    function: Function | None
    sources: tuple[Source, ...]
    keywords: Mapping[str, Any]
    asks: frozenset[str]
    outputs: tuple[str, ...]
    node: str
    op_type: str
    drops: tuple[str, ...] = ()

    @property
    def call(self) -> Function:
        return self.function if self.function is not None else HOST[self.op_type].function


@dataclass(frozen=True)
class Plan:
    """A graph or a subgraph as steps.

    Attributes:
        inputs: Names, in order.
        steps: In an order that can be run.
        outputs: Where the outputs come from.
        captures: What a subgraph reads of the graphs around it.
    """

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Source, ...]
    captures: frozenset[str] = field(default_factory=frozenset)
