"""Writes docs/files.md: every module with the first line of its docstring.

python docs/list_files.py
"""

import ast
import re
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("cli", "converters", "models", "onnxprune")
HEAD = """# Every file

One line each, taken from the modules by `python docs/list_files.py`; the order of reading is in
[architecture.md](architecture.md).
"""


def modules() -> list[Path]:
    """Python files by folder, those behind the links once."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    own = [path for path in found if path.resolve() == path and "__pycache__" not in path.parts]
    return sorted(own, key=lambda path: (path.parent, path.name))


def first_line(path: Path) -> str:
    """What a module says of itself, up to the end of its first sentence or paragraph."""
    words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    paragraph = " ".join(words.split("\n\n")[0].split())
    return re.split(r"(?<!al)\. (?=[A-Z`])", paragraph)[0].rstrip(".")


def render() -> str:
    """The whole document."""
    parts = [HEAD]
    for folder, paths in groupby(modules(), key=lambda path: path.parent):
        rows = [f"| `{path.name}` | {first_line(path)} |" for path in paths]
        parts.append(
            f"## {folder.relative_to(ROOT).as_posix()}/\n\n| file | what it holds |\n|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "files.md").write_text(render(), "utf-8")
