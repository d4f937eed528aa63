"""The resource target: bounds, aligned channel counts, and masks that meet both exactly.

bounds.py        parse_target: `macs=50%`, `params=1.2M`, `bytes=600KiB`
alignment.py     resolve_align: channel counts that kernels like, by provider and processor
constraints.py   Constraints: which kept counts a group may have
reach.py         reachable: the least cost there is; settle: the alignment that a target leaves room for
projection.py    project: from any preference to masks; Projection: the same, prepared for many
knapsack.py      fill: the kept counts that are worth most
"""

from onnxprune.target.alignment import Alignment, resolve_align
from onnxprune.target.bounds import Bound, Target, parse_target, verdicts
from onnxprune.target.constraints import Constraints, parse_min_keep
from onnxprune.target.knapsack import fill
from onnxprune.target.projection import Projection, Scores, project
from onnxprune.target.reach import reachable, require_reachable, settle

__all__ = [
    "Alignment",
    "Bound",
    "Constraints",
    "Projection",
    "Scores",
    "Target",
    "fill",
    "parse_min_keep",
    "parse_target",
    "project",
    "reachable",
    "require_reachable",
    "resolve_align",
    "settle",
    "verdicts",
]
