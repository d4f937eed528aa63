"""The state of an agent and of its search in one file that is whole or the one before; no pickles.

Arrays and tensors lie in a .npz archive as they are; everything else is JSON beside them, in which dicts of
one key that begins with "$" stand for what JSON lacks.
"""

import importlib
import io
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from onnxprune.errors import UsageError
from onnxprune.runs.folder import write_bytes

FORMAT = 1
TREE = "tree"
UNREADABLE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, zlib.error, BadZipFile)
Arrays = dict[str, NDArray[Any]]


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, atomically; it is on the disk when this returns.

    Args:
        path: Of the file.
        state: None, bools, numbers, strings, bytes, arrays, tensors; lists, tuples and dicts of them.

    Raises:
        TypeError: Something else is in it.
        RuntimeProblem: E605, the disk is full.
    """
    arrays: Arrays = {}
    tree = json.dumps({"format": FORMAT, "state": frozen(state, arrays)})
    memory = io.BytesIO()
    np.savez(memory, **{TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    write_bytes(path, memory.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote; nothing in the file can run code.

    Raises:
        UsageError: E208, it is missing, damaged or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}  # each with its checksum
        document = json.loads(arrays[TREE].tobytes())
        if document["format"] != FORMAT:
            raise ValueError(f"it has format {document['format']}, this version reads {FORMAT}")
        state = thawed(document["state"], arrays)
        if not isinstance(state, dict):
            raise TypeError("it holds no state")
    except UNREADABLE as error:
        raise UsageError(
            "E208", f"{path} is no checkpoint that can be read", cause=str(error), hint="start a new run"
        ) from error
    return state


def frozen(value: Any, arrays: Arrays) -> Any:
    """A value in words of JSON; arrays are put aside, in place.

    Raises:
        TypeError: It cannot be kept.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [frozen(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [frozen(item, arrays) for item in value]}
    if not isinstance(value, dict):
        return frozen_array(value, arrays)
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: frozen(item, arrays) for key, item in value.items()}
    return {"$pairs": [[frozen(key, arrays), frozen(item, arrays)] for key, item in value.items()]}


def frozen_array(value: Any, arrays: Arrays) -> dict[str, Any]:
    """Raises: TypeError: It cannot be kept."""
    if isinstance(value, bytes):
        return {"$bytes": put(np.frombuffer(value, np.uint8), arrays)}
    if isinstance(value, np.generic):
        return {"$scalar": put(np.asarray(value), arrays)}
    if isinstance(value, np.ndarray):
        return {"$array": put(value, arrays)}
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        return frozen_tensor(value, arrays)
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def put(array: NDArray[Any], arrays: Arrays) -> str:
    if array.dtype.hasobject:
        raise TypeError("a checkpoint cannot hold arrays of objects")
    name = f"a{len(arrays)}"
    arrays[name] = array
    return name


def frozen_tensor(tensor: Any, arrays: Arrays) -> dict[str, Any]:
    """The bytes of a tensor with its type and shape: numpy lacks some of torch's types."""
    torch = importlib.import_module("torch")
    flat = tensor.detach().cpu().contiguous().flatten()
    name = put(flat.view(torch.uint8).numpy().copy(), arrays)
    return {"$tensor": [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]}


def thawed(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """The inverse of `frozen`."""
    if isinstance(value, list):
        return [thawed(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if kind.startswith("$"):
        return THAW[kind](value[kind], arrays)
    return {key: thawed(item, arrays) for key, item in value.items()}


def thawed_pairs(pairs: list[list[Any]], arrays: Mapping[str, NDArray[Any]]) -> dict[Any, Any]:
    return {thawed(key, arrays): thawed(item, arrays) for key, item in pairs}


def thawed_tensor(kept: list[Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    torch = importlib.import_module("torch")
    name, dtype, shape = kept
    whole = torch.empty(shape, dtype=getattr(torch, dtype))
    raw = torch.from_numpy(arrays[name].copy())
    whole.flatten().view(torch.uint8).copy_(raw)  # a view of `raw` would fail on no bytes
    return whole


THAW: dict[str, Callable[[Any, Mapping[str, NDArray[Any]]], Any]] = {
    "$pairs": thawed_pairs,
    "$tuple": lambda items, arrays: tuple(thawed(item, arrays) for item in items),
    "$bytes": lambda name, arrays: arrays[name].tobytes(),
    "$scalar": lambda name, arrays: arrays[name][()],
    "$array": lambda name, arrays: arrays[name],
    "$tensor": thawed_tensor,
}
