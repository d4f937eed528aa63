"""Small models stated as text, with random weights given by their shapes.

    model("float[N,3,8,8] x => float[N,8,6,6] y", "y = Conv(x, w, b)", w=(8, 3, 3, 3), b=8)

The body is that of an onnx.parser graph; every keyword is an initializer: an array, or a shape.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser

Weight = int | tuple[int, ...] | NDArray[Any]
OPSET = 18


def model(signature: str, body: str, *, opset: int = OPSET, ir: int = 8, **weights: Weight) -> ModelProto:
    """A model from its signature, its nodes and its weights; random values depend on the order only."""
    inputs, outputs = (part.strip() for part in signature.split("=>"))
    imports = f'"" : {opset}, "com.microsoft" : 1, "local" : 1'
    text = f"<ir_version: {ir}, opset_import: [{imports}]>\nlaw ({inputs}) => ({outputs}) {{\n{body}\n}}"
    made = parser.parse_model(text)
    rng = np.random.default_rng(7)
    for name, weight in weights.items():
        array = weight if isinstance(weight, np.ndarray) else random_weight(rng, weight, name)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    return made


def random_weight(rng: np.random.Generator, shape: int | tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Normal values that neither vanish nor explode; `var...` (variances) are positive."""
    extents = (shape,) if isinstance(shape, int) else shape
    scale = max(1, int(np.prod(extents[1:]))) ** -0.5 if len(extents) > 1 else 1.0
    values = rng.standard_normal(extents) * scale
    return (np.abs(values) + 0.5 if name.startswith("var") else values).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def save(made: ModelProto, folder: Path, name: str = "model") -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(made, path)
    return path
