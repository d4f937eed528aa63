"""Which function runs an operator, from which opset on: (domain, operator) -> {version: function}."""

from onnxprune.converters.functions import (
    activation,
    attention,
    casting,
    control,
    convolution,
    cutting,
    elementwise,
    filling,
    indexing,
    linear,
    logic,
    microsoft,
    normalization,
    pooling,
    qlinear,
    quantization,
    random,
    recurrent,
    reduction,
    resize,
    sequences,
    shaping,
    signal,
    spatial,
    text,
    training,
    trigonometry,
)
from onnxprune.converters.signature import Function
from onnxprune.errors import UnsupportedError

Versions = dict[int, Function]
FAMILIES = (
    activation,
    attention,
    casting,
    control,
    convolution,
    cutting,
    elementwise,
    filling,
    indexing,
    linear,
    logic,
    microsoft,
    normalization,
    pooling,
    qlinear,
    quantization,
    random,
    recurrent,
    reduction,
    resize,
    sequences,
    shaping,
    signal,
    spatial,
    text,
    training,
    trigonometry,
)


def merged() -> dict[tuple[str, str], Versions]:
    """One table of all families; an operator has one family."""
    table: dict[tuple[str, str], Versions] = {}
    for family in FAMILIES:
        for name, functions in family.OPERATORS.items():
            domain, _, operator = name.rpartition("::")
            assert (domain, operator) not in table, f"{name} has two families"
            table[domain, operator] = functions
    return table


TABLE = merged()


def has_function(domain: str, operator: str, version: int) -> bool:
    return min(TABLE.get((domain, operator), {version + 1: None})) <= version


def function_for(domain: str, operator: str, version: int, *, where: str) -> Function:
    """The function of an operator at an opset: of the highest version that is not above it.

    Raises:
        UnsupportedError: E406, there is none.
    """
    if not has_function(domain, operator, version):
        raise lacking(domain, operator, version, where=where)
    versions = TABLE[domain, operator]
    return versions[max(since for since in versions if since <= version)]


def lacking(domain: str, operator: str, version: int, *, where: str) -> UnsupportedError:
    name = f"{domain}::{operator}" if domain else operator
    return UnsupportedError(
        "E406",
        f"node {where}: the round trip has no {name} (opset {version})",
        hint="`onnxprune distill --list-operators` shows those it has; prune and reconstruct still work",
    )
