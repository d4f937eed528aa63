"""Whether two models can be teacher and student, and which inner values they share."""

from difflib import get_close_matches

from onnxprune.errors import UsageError
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.graph import ValueInfo

AUTO = ("auto",)
FLOAT_TYPES = (1, 10, 11, 16)  # TensorProto: float, float16, double, bfloat16


def check_pair(teacher: Graph, student: Graph) -> None:
    """Raises: UsageError: E209, inputs or outputs differ in name, type or shape."""
    for kind in ("inputs", "outputs"):
        ours, theirs = getattr(student, kind), getattr(teacher, kind)
        if [shown(value, student) for value in ours] != [shown(value, teacher) for value in theirs]:
            listed = [", ".join(shown(v, g) for v in vs) for vs, g in ((theirs, teacher), (ours, student))]
            raise UsageError(
                "E209",
                f"teacher {teacher.path.name} and student {student.path.name} have different {kind}",
                cause=f"teacher [{listed[0]}], student [{listed[1]}]",
                hint="the student must be a pruned form of the teacher, or have the same interface",
            )


def shown(value: ValueInfo, graph: Graph) -> str:
    """A value as name, type and the extents of one row."""
    shape = graph.shapes.get(value.name)
    extents = "?" if shape is None else "x".join(map(str, shape[1:]))
    return f"{value.name} {value.dtype} [N,{extents}]" if extents else f"{value.name} {value.dtype}"


def matching_values(teacher: Graph, student: Graph, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the values to match: those asked for, or for ("auto",) the last one of each shape.

    Raises:
        UsageError: E204, a value that is not in both models with one shape.
    """
    shared = shared_values(teacher, student)
    if wanted != AUTO:
        for name in wanted:
            if name not in shared:
                raise unknown_value(name, shared)
        return wanted
    last = {student.shapes[name]: name for name in shared}
    return tuple(last.values())


def shared_values(teacher: Graph, student: Graph) -> list[str]:
    """Inner floating-point values of rank 3 and more that have one shape in both models, in order."""
    outputs = {value.name for value in student.outputs}
    names = [name for node in student.nodes for name in node.outputs if name and name not in outputs]
    return [
        name
        for name in names
        if len(student.shapes.get(name, ())) >= 3
        and student.shapes[name] == teacher.shapes.get(name)
        and student.types.get(name) in FLOAT_TYPES
    ]


def unknown_value(name: str, shared: list[str]) -> UsageError:
    near = get_close_matches(name, shared, n=3)
    return UsageError(
        "E204",
        f"--match {name!r} is no inner value with one shape in both models",
        hint=f"closest names: {', '.join(near)}" if near else "--match auto",
    )
