"""Weights that lie in files of their own beside the model: where they are, and whether they are there."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import ModelProto, TensorProto

from onnxprune.errors import ModelError
from onnxprune.onnx_file.tensors import byte_size, is_external, tensors

RE_EXPORT = "the file is damaged or was made by hand; export it again"


@dataclass(frozen=True)
class Reference:
    """Where the values of a tensor lie: bytes [offset, offset + length) of the file `location`."""

    location: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def reference_of(tensor: TensorProto) -> Reference:
    """The reference of a tensor with external data.

    Raises:
        ModelError: E306, the reference is incomplete or does not fit the tensor's shape.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if not entries.get("location"):
        raise ModelError("E306", f"tensor {tensor.name!r} names no weights file", hint=RE_EXPORT)
    wanted = byte_size(tensor)
    if wanted is None:
        message = f"tensor {tensor.name!r} lies in a weights file, but its type or shape gives no size"
        raise ModelError("E306", message, hint=RE_EXPORT)
    offset = whole_number(tensor, "offset", entries.get("offset") or "0")
    length = whole_number(tensor, "length", entries.get("length") or str(wanted))
    if length != wanted:
        where = f"tensor {tensor.name!r}: {length} bytes in {entries['location']!r}, its shape needs {wanted}"
        raise ModelError("E306", where, hint=RE_EXPORT)
    return Reference(entries["location"], offset, length)


def whole_number(tensor: TensorProto, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        message = f"tensor {tensor.name!r}: the {key} {text!r} of its weights is no number of bytes"
        raise ModelError("E306", message, hint=RE_EXPORT)
    return int(text)


def data_file(model_path: Path, location: str) -> Path:
    """The weights file `location` of a model, which must lie in the model's folder or below.

    Links are followed: the folder that the model itself is linked from counts too, because download caches
    link the model and its weights one by one.

    Raises:
        ModelError: E306, the file lies elsewhere.
    """
    if not stays_inside(location):
        raise escaping(model_path, location)
    path = model_path.parent / PurePosixPath(location)
    real = Path(os.path.realpath(path))
    roots = (os.path.realpath(model_path.parent), Path(os.path.realpath(model_path)).parent)
    if not any(real.is_relative_to(root) for root in roots):
        raise escaping(model_path, location)
    return path


def stays_inside(location: str) -> bool:
    """Whether a location, links aside, leads to the model's folder or below, on every system."""
    path = PureWindowsPath(location)  # splits at / and at \\
    return not (path.drive or path.root or ".." in path.parts or "\0" in location)


def escaping(model_path: Path, location: str) -> ModelError:
    return ModelError(
        "E306",
        f"{model_path.name}: weights file {location!r} lies outside the model's folder; refused",
        cause="a model from elsewhere could read any file of this machine that way",
        hint="put the weights next to the model and store the bare file name as their location",
    )


def check_external(model_path: Path, external: Iterable[TensorProto]) -> None:
    """Check that the values of these tensors are on disk, without reading them.

    Raises:
        ModelError: E306, a weights file is missing, too short, or outside the model's folder.
    """
    needed: dict[str, list[tuple[int, str]]] = {}
    for tensor in external:
        reference = reference_of(tensor)
        needed.setdefault(reference.location, []).append((reference.end, tensor.name))
    for location, ends in needed.items():
        check_data_file(model_path, location, ends)


def check_data_file(model_path: Path, location: str, ends: list[tuple[int, str]]) -> None:
    path = data_file(model_path, location)
    many = f"{len(ends)} tensors, first" if len(ends) > 1 else "tensor"
    what = f"{model_path.name}: weights file {location!r} (needed by {many} {ends[0][1]!r})"
    try:
        if not path.is_file():
            fault = "is no file" if path.exists() else "not found next to the model; copy it too"
            raise ModelError("E306", f"{what} {fault}")
        size = path.stat().st_size
    except OSError as error:
        raise ModelError("E306", f"{what} cannot be read", cause=str(error)) from error
    end, name = max(ends)
    if size < end:
        raise ModelError(
            "E306",
            f"{what} is too short: {size} bytes, tensor {name!r} ends at byte {end}",
            hint="the copy or download is incomplete, or the file belongs to another model",
        )


def external_locations(model: ModelProto) -> dict[str, str]:
    """The weights file of each tensor with external data, by tensor name.

    Taken from a model before its tensors are replaced, it tells `save_model` which of them to write into
    weights files again: `save_model(pruned, path, source=source, external=external_locations(original))`.

    Raises:
        ModelError: E306, a reference is incomplete.
    """
    return {t.name: reference_of(t).location for t in tensors(model) if t.name and is_external(t)}
