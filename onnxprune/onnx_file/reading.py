"""Reading an ONNX file: a checked ModelProto, or an error that says what is wrong with the file.

The rows E301 to E308 and E310 of the error catalogue.
"""

import stat
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from onnx import ModelProto, TensorProto

from onnxprune.errors import ModelError, RuntimeProblem
from onnxprune.onnx_file.external import check_external
from onnxprune.onnx_file.signatures import HEAD_BYTES, OTHER_PROTOBUF, Kind, folder_kind, foreign_kind
from onnxprune.onnx_file.sizes import size
from onnxprune.onnx_file.tensors import fault_of, is_external, walk
from onnxprune.onnx_file.versions import check_versions
from onnxprune.onnx_file.wire import GRAPH, WireError, innermost, parse_model

PROTOBUF_LIMIT = 2**31 - 1
COPY_AGAIN = "copy or download the file again"
EXPORT = "export it with torch.onnx.export, tf2onnx, paddle2onnx, ..."


def read_model(path: Path) -> ModelProto:
    """The model in an ONNX file; values in external data stay there, but it is checked that they are there.

    Memory peaks near one times the file. The file is never changed.

    >>> model = read_model(Path("resnet20.onnx"))
    >>> len(model.graph.node)
    73

    Args:
        path: The .onnx file.

    Raises:
        ModelError: E301 missing, E302 empty, E303 no ONNX, E304 damaged or truncated, E305 no graph,
            E306 external data missing, short or outside the folder, E307/E308 IR or opset that
            ONNX Runtime does not read, E310 larger than protobuf allows.
        RuntimeProblem: E605, the memory does not suffice.
    """
    try:
        nbytes = size_of(path)
        with path.open("rb") as file:
            model = parse(path, file, nbytes)
    except OSError as error:
        raise ModelError("E301", f"model '{path}' cannot be read", cause=str(error)) from error
    except MemoryError as error:
        message = f"{path.name} needs about {size(nbytes)} of memory, more than there is"
        raise RuntimeProblem("E605", message) from error
    check_versions(path, model)
    check_external(path, checked_tensors(path, model))
    return model


def size_of(path: Path) -> int:
    """Bytes in a file that can be a model."""
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing(path) from error
    except ValueError as error:  # a null byte in the name
        raise ModelError("E301", f"{str(path)!r} is no file name") from error
    if stat.S_ISDIR(info.st_mode):
        raise not_onnx(path, folder_kind(path))
    if not stat.S_ISREG(info.st_mode):
        raise not_onnx(path, Kind("a device or pipe", "pass a file"))
    if info.st_size == 0:
        raise ModelError("E302", f"{path.name} is empty (0 bytes)", hint=COPY_AGAIN)
    return info.st_size


def missing(path: Path) -> ModelError:
    if path.is_symlink():
        message = f"model '{path}' is a link to '{path.readlink()}', which does not exist"
        return ModelError("E301", message)
    hint = "check the path"
    if path.parent.is_dir():
        close = get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
        hint = f"did you mean '{path.parent / close[0]}'?" if close else hint
    return ModelError("E301", f"model '{path}' does not exist", hint=hint)


def not_onnx(path: Path, kind: Kind | None) -> ModelError:
    kind = kind or Kind("of an unknown kind", EXPORT)
    return ModelError("E303", f"{path.name} is not an ONNX protobuf: it is {kind.name}", hint=kind.hint)


def parse(path: Path, file: BinaryIO, size: int) -> ModelProto:
    head = file.read(HEAD_BYTES)
    try:
        model = parse_model(file, size) if size <= PROTOBUF_LIMIT else None
    except WireError as error:
        raise unreadable(path, file, size, head, error) from error
    if model is None or not model.graph.node:
        kind = foreign_kind(path, head)
        if kind is not None:
            raise not_onnx(path, kind)
    if model is None:
        raise ModelError(
            "E310",
            f"{path.name} has {size} bytes, more than protobuf's 2 GiB",
            hint="export it with its weights as external data",
        )
    if not model.graph.node:
        what = "a graph without nodes" if model.HasField("graph") else "no graph"
        hint = f"the file is cut short or no model; {COPY_AGAIN}"
        raise ModelError("E305", f"{path.name} was parsed, but contains {what}", hint=hint)
    return model


def unreadable(path: Path, file: BinaryIO, size: int, head: bytes, error: WireError) -> ModelError:
    kind = foreign_kind(path, head)
    if kind is not None:
        return not_onnx(path, kind)
    if error.offset == 0 and (error.field is None or error.field.number != GRAPH):
        return not_onnx(path, OTHER_PROTOBUF if head[0] == 0x0A else None)
    if error.cut:
        return truncated(path, file, size, error)
    message = f"{path.name} is damaged at byte {grouped(error.offset)}"
    return ModelError("E304", message, cause=error.reason, hint=COPY_AGAIN)


def truncated(path: Path, file: BinaryIO, size: int, error: WireError) -> ModelError:
    message = f"{path.name} ends inside a field at byte {grouped(size)}; copy is incomplete?"
    if error.field is None:
        return ModelError("E304", message, hint=COPY_AGAIN)
    more, where = grouped(error.field.end - size), innermost(file, size, error.field)
    cause = f"at least {more} more bytes should follow; it ends in {where}"
    return ModelError("E304", message, cause=cause, hint=COPY_AGAIN)


def grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def checked_tensors(path: Path, model: ModelProto) -> list[TensorProto]:
    """The tensors with external data.

    Raises:
        ModelError: E304, a tensor has not the values that its shape needs, or a string somewhere in the
            model is not UTF-8 (protobuf hands out bytes in its place).
    """
    external = []
    for message, found in walk(model):
        for descriptor, value in found:
            if descriptor.type == descriptor.TYPE_STRING and holds_bytes(value):
                what = f"{message.DESCRIPTOR.name}.{descriptor.name}"
                message_text = f"{path.name} is damaged: {what} is no text: {value!r:.80}"
                raise ModelError("E304", message_text, hint=COPY_AGAIN)
        if isinstance(message, TensorProto):
            require_values(path, message)
            if is_external(message):
                external.append(message)
    return external


def require_values(path: Path, tensor: TensorProto) -> None:
    fault = fault_of(tensor)
    if fault:
        message = f"{path.name} is damaged: tensor {tensor.name!r}: {fault}"
        raise ModelError("E304", message, hint=COPY_AGAIN)


def holds_bytes(value: object) -> bool:
    """Whether a string field, single or repeated, holds bytes that are not UTF-8."""
    if isinstance(value, str):
        return False
    return isinstance(value, bytes) or any(isinstance(item, bytes) for item in value)  # type: ignore[attr-defined]
