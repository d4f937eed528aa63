"""A function's signature is the specification of what its operator takes.

    def clip(input, min: float | None = None, max: float | None = None): ...

Positional parameters are the node's inputs in order, under ONNX's names; attributes go by keyword. An input
annotated with numbers (`int`, `float`, `list[int]`, `list[float]`) is given as Python numbers, any other as
a tensor, and one annotated with both (`int | Tensor`) as a number where that is known without a tensor.
Keyword parameters whose names begin with "_" are the walker's: `_outputs`, `_training`, `_synced`,
`_device`; or the planner's: `_elem_type` (ONNX's type of the first input where that is a number),
`_carried` and `_master` (of the quantised output, of the quantised input from an initializer: carrying.py).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

Function = Callable[..., Any]
TENSOR = "tensor"
EITHER = "either"
NUMBERS = ("ints", "floats", "int", "float")
KIND_OF: dict[Any, str] = {int: "int", float: "float", bool: "int"}
KIND_OF_LIST: dict[Any, str] = {int: "ints", float: "floats"}


@dataclass(frozen=True)
class Signature:
    """What an operator's function takes.

    Attributes:
        kinds: Of each positional parameter: "tensor", "ints", "floats", "int", "float" or "either".
        variadic: Kind of the inputs after them, None where there are none.
        required: How many positional parameters have no default.
        names: Of every parameter that an attribute may fill.
        asks: Which of the walker's values it takes.
    """

    kinds: tuple[str, ...]
    variadic: str | None
    required: int
    names: frozenset[str]
    asks: frozenset[str]

    def kind(self, position: int) -> str | None:
        """How the input at a position is given; None where the function takes no such input."""
        return self.kinds[position] if position < len(self.kinds) else self.variadic


@cache
def signature_of(function: Function) -> Signature:
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    variadic = [kind_of(p.annotation) for p in parameters if p.kind is p.VAR_POSITIONAL]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Signature(
        kinds=tuple(kind_of(p.annotation) for p in positional),
        variadic=variadic[0] if variadic else None,
        required=sum(p.default is p.empty for p in positional),
        names=frozenset(name for name in named if not name.startswith("_")),
        asks=frozenset(name for name in named if name.startswith("_")),
    )


def kind_of(annotation: Any) -> str:
    """The kind that an annotation asks for; None beside it changes nothing."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = {kind_of(part) for part in get_args(annotation) if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else EITHER if kinds & {"int", "float"} else TENSOR
    if get_origin(annotation) is list:
        return KIND_OF_LIST.get(get_args(annotation)[0], TENSOR)
    return KIND_OF.get(annotation, TENSOR)
