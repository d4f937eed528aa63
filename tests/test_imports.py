"""What the command line pulls in: torch takes seconds to import and is not even installed everywhere."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torch_geometric", "onnxscript")
CALL = """
import sys
from onnxprune.__main__ import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *sorted(name for name in {heavy!r} if name in sys.modules))
"""


def heavy_imports_of(arguments: list[str]) -> str:
    """The last line of a process that runs one command and names the heavy modules in it."""
    code = CALL.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        small (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y)
        <float[8, 4, 1, 1] w1, float[4, 8, 1, 1] w2>
        { h = Conv(x, w1)  r = Relu(h)  y = Conv(r, w2) }
        """
    )
    for value, dims in (("w1", (8, 4, 1, 1)), ("w2", (4, 8, 1, 1))):
        tensor = onnx.helper.make_tensor(value, onnx.TensorProto.FLOAT, dims, [0.5] * 32)
        (old,) = [i for i in model.graph.initializer if i.name == value] or [model.graph.initializer.add()]
        old.CopyFrom(tensor)
    path = tmp_path / "small.onnx"
    onnx.save(model, path)
    return path


def test_help_imports_no_torch() -> None:
    assert heavy_imports_of(["--help"]) == "imported:"


def test_inspect_imports_no_torch(small_model: Path) -> None:
    assert heavy_imports_of(["inspect", str(small_model)]) == "imported:"


def test_a_heavy_import_would_be_seen() -> None:
    code = CALL.format(arguments=["--help"], heavy=("json", "torch"))
    done = subprocess.run(
        [sys.executable, "-c", "import json" + code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "imported: json", done.stderr
