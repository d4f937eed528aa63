"""Evaluations by the hash of their masks: what was evaluated before costs nothing."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxprune.evaluation.evaluator import Evaluation
from onnxprune.evaluation.rewards import Figures
from onnxprune.masks import masks_hash

Bits = NDArray[np.bool_]
KEPT = 64  # evaluations whose figures of each row are kept: the last ones


class EvaluationCache:
    """What masks were worth, however often they come."""

    def __init__(self, kept: int = KEPT) -> None:
        self._found: dict[str, Evaluation] = {}
        self._figures: OrderedDict[str, Figures] = OrderedDict()
        self._kept = kept

    def __len__(self) -> int:
        return len(self._found)

    def look(self, masks: Mapping[str, Bits], level: float | None = None) -> Evaluation | None:
        """What is known of masks; None where that does not do.

        Masks that were given up will do as long as they cannot reach `level`, what is asked for now.
        """
        found = self._found.get(masks_hash(masks))
        if found is None or not found.abandoned or (level is not None and found.reach < level):
            return found
        return None

    def figures(self, masks: Mapping[str, Bits]) -> Figures | None:
        """(rows,) of each row, of masks that ran on all of them not long ago."""
        return self._figures.get(masks_hash(masks))

    def keep(self, masks: Mapping[str, Bits], evaluation: Evaluation) -> None:
        """Remember an evaluation, in place."""
        key = masks_hash(masks)
        self._found[key] = replace(evaluation, figures=None)
        if evaluation.figures is not None:
            self._figures[key] = evaluation.figures
            self._figures.move_to_end(key)
        while len(self._figures) > self._kept:
            self._figures.popitem(last=False)
