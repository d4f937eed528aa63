"""Which values are read as numbers alone, such as the scales of a Resize: they are no weights."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from onnx import NodeProto

from onnxprune.converters.host import HOST
from onnxprune.converters.signature import NUMBERS, signature_of
from onnxprune.converters.table import function_for, has_function


def read_as_numbers(
    nodes: Sequence[NodeProto], kept: set[str], versions: Mapping[str, int]
) -> frozenset[str]:
    """Values that only go where a function takes Python numbers, through shape arithmetic or not.

    Args:
        nodes: Of all graphs of a model.
        kept: Outputs of the graphs.
        versions: Opset by domain.
    """
    readers: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in nodes:
        for position, name in enumerate(node.input):
            readers[name].append((node, position))
    found: set[str] = set()
    before = -1
    while before != len(found):  # outputs become known before inputs
        before = len(found)
        for name in readers.keys() - found - kept:
            if all(takes_numbers(node, position, found, versions) for node, position in readers[name]):
                found.add(name)
    return frozenset(found)


def takes_numbers(node: NodeProto, position: int, found: set[str], versions: Mapping[str, int]) -> bool:
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = versions.get(domain, 1)
    if has_function(domain, node.op_type, version):
        function = function_for(domain, node.op_type, version, where="")
        if signature_of(function).kind(position) in NUMBERS:
            return True
    return domain == "" and node.op_type in HOST and found.issuperset(node.output)
