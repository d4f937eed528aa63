"""The public names of onnxprune, which are imported when they are first asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import onnxprune

SOURCE = Path(onnxprune.__file__).read_text("utf-8")


def names_for_type_checkers() -> set[str]:
    """What the block under `if TYPE_CHECKING` imports."""
    (block,) = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)]
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_the_public_names_are_sorted_and_few() -> None:
    assert list(onnxprune.__all__) == sorted(set(onnxprune.__all__))
    assert len(onnxprune.__all__) <= 24


def test_every_public_name_can_be_imported() -> None:
    assert [name for name in onnxprune.__all__ if not hasattr(onnxprune, name)] == []


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(onnxprune.__all__)


def test_no_public_name_is_also_a_module() -> None:
    modules = {path.stem for path in Path(onnxprune.__file__).parent.iterdir()}
    assert modules & set(onnxprune.__all__) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'prine'"):
        _ = onnxprune.prine


def test_importing_the_package_imports_neither_onnx_nor_numpy() -> None:
    code = "import sys, onnxprune; print({'onnx', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
