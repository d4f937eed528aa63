"""Both models on their way through the calibration inputs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.walks import Shelf, Walk
from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.patch import Patch
from onnxprune.pruning.weights import kept_axes, sliced
from onnxprune.reconstruction.options import ReconstructOptions

Array = NDArray[Any]
Bits = NDArray[np.bool_]


@dataclass
class Bench:
    """Both models on their way through the calibration inputs, and the copy whose weights change.

    Attributes:
        groups: Of the original.
        keep: Keep bits by label.
        original, pruned: The walks.
        patch: Writes into the pruned model.
        options: How to repair.
        pending: Indices of nodes that are not repaired yet.
        samples: Rows of the calibration inputs.
    """

    groups: Groups
    keep: Bits
    original: Walk
    pruned: Walk
    patch: Patch
    options: ReconstructOptions
    pending: set[int]
    samples: int

    @staticmethod
    def of(
        groups: Groups, masks: Mapping[str, Bits], pruned: Graph, inputs: Shelf, options: ReconstructOptions
    ) -> "Bench":
        nodes = {next((o for o in n.output if o), ""): n for n in pruned.model.graph.node}
        patch = Patch(pruned, pruned.model, nodes, {t.name: t for t in pruned.model.graph.initializer})
        keep = groups.keep_labels(dict(masks))
        samples = sum(max((len(a) if a.ndim else 1 for a in feed.values()), default=1) for feed in inputs)
        walks = Walk(groups.graph, inputs), Walk(pruned, inputs)
        return Bench(groups, keep, *walks, patch, options, set(), samples)

    def kept(self, name: str, value: Array) -> Array:
        """A value of the original without the removed channels."""
        return sliced(value, kept_axes(self.groups.axis_labels(name), self.keep))

    def pairs(self, of_original: str, of_pruned: Iterable[str]) -> Iterator[tuple[Array, dict[str, Array]]]:
        """For each portion a value of the original, cut to what is kept, and values of the pruned model."""
        before, after = self.original.values([of_original]), self.pruned.values(list(of_pruned))
        for source, values in zip(before, after, strict=True):
            yield self.kept(of_original, source[of_original]), values

    def is_ready(self, name: str) -> bool:
        """Whether everything that leads to a value of the pruned model is repaired."""
        nodes = self.pruned.nodes_for([name], self.pruned.example())
        return not any(node.index in self.pending for node in nodes)
