"""The floor plan (docs/architecture.md): imports from lower floors only, torch from the units named so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "onnxprune"

# A unit is a module or a package directly under onnxprune. Units on one floor do not know each other.
# "onnxprune" is onnxprune/__init__.py, which names the public parts; no unit imports them from there.
FLOORS = {
    0: {"errors", "hardware", "schedule", "version"},
    1: {"data", "onnx_file"},
    2: {"operators", "models", "converters", "runs"},
    3: {"groups"},
    4: {"masks"},
    5: {"activations", "cost", "pruning", "verification", "measurement"},
    6: {"target", "calibration"},
    7: {"criteria", "allocation", "reconstruction", "distillation", "environment", "observation", "latency"},
    8: {"pipeline", "agents", "evaluation"},
    9: {"search", "report"},
    10: {"compression"},
    11: {"study"},
    12: {"cli", "onnxprune"},
    13: {"__main__"},
}
FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}
TORCH_AT_TOP = {"models", "converters", "distillation", "agents", "hardware"}
TORCH_INSIDE_FUNCTIONS = {"cli", "compression", "criteria", "runs", "search"}
TORCH_NAMES = {"torch", "torch_geometric", "onnxscript"}


def modules() -> list[Path]:
    """Every Python file of the package, those behind the three links included."""
    units = sorted(PACKAGE.iterdir())
    files = [path for path in units if path.suffix == ".py"]
    return files + [path for unit in units if unit.is_dir() for path in sorted(unit.rglob("*.py"))]


def unit_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "onnxprune" if first == "__init__.py" else first.removesuffix(".py")


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Dotted names that the import statements below `tree` bring in, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_units(source: str) -> set[str]:
    """Units of onnxprune that `source` imports; "onnxprune" where it asks the package itself for a name."""
    ours = [name.split(".") for name in imported_names(ast.parse(source)) if name.startswith("onnxprune")]
    return {parts[1] if len(parts) > 1 and parts[1] in FLOOR_OF else "onnxprune" for parts in ours}


def wrong_imports(unit: str, source: str) -> set[str]:
    """Imported units that are not on a lower floor than `unit`."""
    return {other for other in imported_units(source) - {unit} if FLOOR_OF[other] >= FLOOR_OF[unit]}


def torch_at_top(source: str) -> bool:
    """Whether torch is imported outside every function."""
    statements = [n for n in ast.parse(source).body if not isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return any(name.split(".")[0] in TORCH_NAMES for n in statements for name in imported_names(n))


def mentions_torch(source: str) -> bool:
    return any(name.split(".")[0] in TORCH_NAMES for name in imported_names(ast.parse(source)))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_floors(path: Path) -> None:
    unit = unit_of(path)
    assert unit in FLOOR_OF, f"{path} has no floor; give it one here and in docs/architecture.md"
    assert wrong_imports(unit, path.read_text("utf-8")) == set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_is_imported_by_the_networks_only_and_by_commands_when_they_run(path: Path) -> None:
    source = path.read_text("utf-8")
    if unit_of(path) in TORCH_INSIDE_FUNCTIONS:
        assert not torch_at_top(source)
    elif unit_of(path) not in TORCH_AT_TOP:
        assert not mentions_torch(source)


def test_every_link_is_followed() -> None:
    assert {"cli", "converters", "models"} <= {unit_of(path) for path in modules()}


def test_an_upward_import_is_seen() -> None:
    assert wrong_imports("groups", "from onnxprune.masks import Masks") == {"masks"}
    assert wrong_imports("errors", "import onnxprune.cli.main") == {"cli"}


def test_an_import_between_siblings_is_seen() -> None:
    assert wrong_imports("cost", "from onnxprune.pruning import prune") == {"pruning"}
    assert wrong_imports("measurement", "from onnxprune import verification") == {"verification"}


def test_an_import_inside_a_function_is_seen() -> None:
    assert wrong_imports("groups", "def f():\n    from onnxprune.report import write") == {"report"}


def test_asking_the_package_itself_is_an_upward_import() -> None:
    assert wrong_imports("report", "from onnxprune import prune") == {"onnxprune"}
    assert wrong_imports("report", "import onnxprune") == {"onnxprune"}


def test_downward_imports_and_those_within_a_unit_pass() -> None:
    source = "import numpy\nfrom onnxprune.errors import ModelError\nfrom onnxprune.operators.labels import x"
    assert wrong_imports("operators", source) == set()


def test_torch_is_told_apart_at_the_top_and_inside_functions() -> None:
    lazy = "def f():\n    import torch.nn as nn"
    assert mentions_torch(lazy)
    assert not torch_at_top(lazy)
    assert torch_at_top("if True:\n    from torch import Tensor")
