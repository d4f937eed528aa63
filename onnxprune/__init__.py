"""onnxprune: structured pruning of ONNX models.

    groups = find_groups(load_graph(Path("model.onnx")))
    model = prune(groups, masks)                      # a patched copy; the original is untouched

    prune_file(Path("model.onnx"), Path("pruned.onnx"), options=PruneOptions(parse_target(["macs=50%"])))

The names are imported when they are first asked for, so that `onnxprune --help` stays fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxprune.allocation import allocate
    from onnxprune.cost import Cost, CostModel
    from onnxprune.criteria import score
    from onnxprune.data import open_data
    from onnxprune.errors import OnnxPruneError
    from onnxprune.groups import Groups, find_groups
    from onnxprune.masks import Masks, load_masks, save_masks
    from onnxprune.measurement import bench, measure
    from onnxprune.onnx_file import Graph, load_graph, save_model
    from onnxprune.pipeline import PruneOptions, prune_file
    from onnxprune.pruning import prune
    from onnxprune.target import Constraints, parse_target
    from onnxprune.verification import verify

__all__ = [
    "Constraints",
    "Cost",
    "CostModel",
    "Graph",
    "Groups",
    "Masks",
    "OnnxPruneError",
    "PruneOptions",
    "allocate",
    "bench",
    "find_groups",
    "load_graph",
    "load_masks",
    "measure",
    "open_data",
    "parse_target",
    "prune",
    "prune_file",
    "save_masks",
    "save_model",
    "score",
    "verify",
]

_NAMES_OF = {
    "allocation": ("allocate",),
    "cost": ("Cost", "CostModel"),
    "criteria": ("score",),
    "data": ("open_data",),
    "errors": ("OnnxPruneError",),
    "groups": ("Groups", "find_groups"),
    "masks": ("Masks", "load_masks", "save_masks"),
    "measurement": ("bench", "measure"),
    "onnx_file": ("Graph", "load_graph", "save_model"),
    "pipeline": ("PruneOptions", "prune_file"),
    "pruning": ("prune",),
    "target": ("Constraints", "parse_target"),
    "verification": ("verify",),
}
_HOME = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'onnxprune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"onnxprune.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
