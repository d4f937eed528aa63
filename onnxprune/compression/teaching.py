"""Who teaches: the original, or the best model so far."""

from dataclasses import dataclass
from typing import Literal, get_args

from onnxprune.compression.work import Work
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.runs.folder import read_json

Teaching = Literal["original", "best"]
TEACHERS: tuple[str, ...] = get_args(Teaching)
ORIGINAL, BEST = TEACHERS


@dataclass(frozen=True)
class Teacher:
    """A model to learn from.

    Attributes:
        name: original, or the stage that left it, such as "stage 1".
        graph: The model.
    """

    name: str
    graph: Graph


def teacher_of(work: Work) -> Teacher:
    """The original; where the best is asked for, what an earlier stage left and scores higher.

    Higher on the search part and by the metric of the run; of equal ones the earlier. What a stage left was
    chosen on that part, which flatters it a little; but that is the part for choices, and the test part stays
    unread.

    Reference: RL-Pruner (arXiv 2411.06463), section 3, whose code compares on the test set.
    """
    original = Teacher(ORIGINAL, work.graph)
    if work.options.distill.teacher != BEST:
        return original
    baseline = read_json(work.run.path / "baseline.json")
    metric, sign = baseline["metric"], -1 if baseline["lower_is_better"] else 1
    figures = {0: sign * baseline["search"][metric]}
    for stage in work.stage.earlier:
        choice = read_json(work.run.path / stage.folder / "choice.json")
        figures[stage.number] = sign * choice["search"][choice["final"]][metric]
    best = max(figures, key=lambda number: (figures[number], -number))
    if not best:
        return original
    path = work.run.path / work.stage.earlier[best - 1].folder / "final.onnx"
    return Teacher(f"stage {best}", load_graph(path, shapes=work.pruning.shapes))
