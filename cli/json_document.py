"""The one JSON document of a command: where it goes, checked before any work, and how values are written."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from onnxprune.errors import UsageError
from onnxprune.onnx_file.saving import check_output
from onnxprune.runs.folder import write_text

SCHEMA = 1
STDOUT = "-"
OURS = b'{\n  "schema": '  # how every document of ours begins


def check_target(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """`--json` takes the next word if that is no option: never let it be a model.

    Raises:
        UsageError: E201, no file name that ends in .json; E203, it cannot be written there.
    """
    if value is None or value == STDOUT:
        return value
    if not value.endswith(".json"):
        raise UsageError(
            "E201", f"--json {value!r}: must end in .json", hint="--json=- or no word after it means stdout"
        )
    path = Path(value)
    check_output(path, force=path.is_file() and is_ours(path))
    return value


def is_ours(path: Path) -> bool:
    """Whether a file is an earlier document of ours, which a new one may replace."""
    with path.open("rb") as file:
        return file.read(len(OURS)) == OURS


def write(document: Mapping[str, Any], command: str, to: str) -> None:
    """The document on stdout, or in a file, atomically."""
    whole = {"schema": SCHEMA, "command": command, **document}
    text = json.dumps(plain(whole), indent=2, allow_nan=False, ensure_ascii=False)
    if to == STDOUT:
        click.echo(text)
        return
    write_text(Path(to), text + "\n")


def plain(value: Any) -> Any:
    """The same in JSON's words: numpy scalars, paths, tuples, sets; nan and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if hasattr(value, "tolist"):  # numpy's
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
