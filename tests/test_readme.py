"""The README's code organization and the floor table name what is really there."""

import importlib.util
import re
from pathlib import Path

from tests.test_floors import FLOORS

ROOT = Path(__file__).parents[1]
LINKED = ("cli", "converters", "models")


def listed_paths() -> list[str]:
    """First words of the block under "Code organization" that are paths of the package."""
    section = (ROOT / "README.md").read_text("utf-8").split("## Code organization")[1]
    block = section.split("```")[1]
    return [row.split()[0] for row in block.strip().splitlines() if not row.startswith("tests/")]


def test_code_organization_lists_every_unit_in_path_order() -> None:
    units = [path for path in (ROOT / "onnxprune").iterdir() if not path.is_symlink()]
    modules = {f"onnxprune/{path.name}" for path in units if path.suffix == ".py"} - {"onnxprune/__init__.py"}
    packages = {f"onnxprune/{path.name}/" for path in units if (path / "__init__.py").is_file()}
    assert listed_paths() == sorted(modules | packages | {f"{name}/" for name in LINKED})


def test_the_floor_table_is_the_one_that_the_tests_hold() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    documented = {
        int(floor): set(re.findall(r"`(?:onnxprune/)?([a-z_]+)(?:\.py)?`", units)) for floor, units in rows
    }
    documented[12] = documented[12] - {"__init__"} | {"onnxprune"}
    assert documented == FLOORS


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_list_of_files_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("list_files", ROOT / "docs" / "list_files.py")
    assert spec
    assert spec.loader
    listing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(listing)
    assert [path.name for path in listing.modules() if not listing.first_line(path)] == []
    assert listing.render() == (ROOT / "docs" / "files.md").read_text("utf-8"), (
        "run python docs/list_files.py"
    )
