"""Writing an ONNX file: whole and checked, or not at all.

Everything is written into a hidden folder beside the output, under its final names, so that a check can load
it; only then it is renamed into place, the weights first. Whatever fails before leaves the old files as they
were.
"""

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from onnx import ModelProto

from onnxprune.errors import ModelError, RuntimeProblem, UsageError
from onnxprune.onnx_file.external import data_file, reference_of
from onnxprune.onnx_file.layout import Layout, flush, plan_layout, write_segments
from onnxprune.onnx_file.reading import PROTOBUF_LIMIT
from onnxprune.onnx_file.serializing import serialized_size, write_model
from onnxprune.onnx_file.sizes import size
from onnxprune.onnx_file.tensors import byte_size, is_external, tensors

SMALLEST_MOVED = 1024
ELSEWHERE = "choose another output"
REPLACED = "replaced"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Saved:
    """What was written: the model, and its weights file or folder where there is one."""

    model: Path
    data: Path | None
    warnings: tuple[str, ...] = ()


def data_path(path: Path) -> Path:
    """The weights of a model written to `path`: a file, or a folder where there are several."""
    return path.with_name(f"{path.name}.data")


def check_output(path: Path, force: bool = False) -> None:
    """Check, before any work, that a model can be written.

    Raises:
        UsageError: E203, the file exists and `force` is not given, or its folder does not exist.
    """
    try:
        check_place(path, force=force)
    except (OSError, ValueError) as error:  # names that are too long or hold a null byte
        raise UsageError(
            "E203", f"{str(path)!r} cannot be written", cause=str(error), hint=ELSEWHERE
        ) from error


def check_place(path: Path, *, force: bool) -> None:
    folder = path.parent
    if "\0" in str(path):
        raise ValueError("a null byte in the name")
    if not folder.is_dir():
        raise UsageError("E203", f"{folder} is not a directory", hint="create it, or choose another output")
    if path.is_dir() or path.name in ("", ".."):
        raise UsageError("E203", f"{path} is a directory", hint=f"name a file in it: {path / 'pruned.onnx'}")
    if not os.access(folder, os.W_OK):
        raise UsageError("E203", f"{folder} is not writable", hint=ELSEWHERE)
    for taken in (path, data_path(path)):
        if os.path.lexists(taken) and not force:
            raise UsageError("E203", f"{taken} exists", hint=f"use --force to replace it, or {ELSEWHERE}")
    if path.exists() and not path.is_file():
        raise UsageError("E203", f"{path} is no regular file", hint=ELSEWHERE)


def save_model(
    model: ModelProto,
    path: Path,
    *,
    source: Path | None = None,
    force: bool = False,
    check: Callable[[Path], None] | None = None,
    external: Collection[str] = (),
) -> Saved:
    """Write a model to `path`, atomically; its weights files too, streamed from the old ones.

    A model whose weights lay in one file gets one, `<path>.data`; otherwise a folder of that name with one
    file for each old one. Both respect the umask. Tensors that are inside stay inside, except those named in
    `external`, and all larger ones if the model would exceed protobuf's 2 GiB (E310, told in the warnings).

    >>> homes = external_locations(original)
    >>> save_model(pruned, Path("small.onnx"), source=Path("large.onnx"), external=homes)
    Saved(model=PosixPath('small.onnx'), data=PosixPath('small.onnx.data'), warnings=())

    Args:
        model: Not changed. Its external references are those of the file `source`.
        path: Where to write it; may be `source`. What was read from there lazily is stale afterwards.
        source: The model file beside which its old weights files lie.
        force: Replace what exists.
        check: Called with the path of the written model before it is renamed; it refuses by raising.
        external: Names of tensors to write into weights files; as a mapping, with the old file of each.

    Raises:
        UsageError: E203, see `check_output`; or the output would replace the weights of another `source`.
        ModelError: E306, the old weights files are gone or too short.
        RuntimeProblem: E605, the disk is full.
    """
    check_output(path, force)
    homes = dict(external) if isinstance(external, Mapping) else dict.fromkeys(external, "")
    protect_source(model, path, source)
    layout, warnings = fitting_layout(model, path.name, source, homes)
    nbytes = layout.nbytes + serialized_size(layout.model)
    with staging_folder(path, nbytes) as staging:
        with disk_errors(path, nbytes):
            write_files(layout, staging / path.name)
        if check is not None:
            check(staging / path.name)
        check_output(path, force)
        with disk_errors(path, nbytes):
            commit(staging, path)
    return Saved(path, data_path(path) if layout.segments else None, warnings)


def protect_source(model: ModelProto, path: Path, source: Path | None) -> None:
    """Refuse an output whose files would replace the weights of the model it was made from."""
    if source is None or same_file(source, path):
        return
    old = {
        data_file(source, reference_of(tensor).location) for tensor in tensors(model) if is_external(tensor)
    }
    new = (path, data_path(path))
    for file in sorted(old):
        if any(same_file(place, file) or file.resolve().is_relative_to(place.resolve()) for place in new):
            raise UsageError(
                "E203",
                f"writing {path} would replace '{file}', which holds weights of {source}",
                hint=ELSEWHERE,
            )


def same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def fitting_layout(
    model: ModelProto, name: str, source: Path | None, homes: dict[str, str]
) -> tuple[Layout, tuple[str, ...]]:
    """A layout whose model protobuf can hold, and what the user should know of it."""
    layout = plan_layout(model, name, source, homes)
    nbytes = serialized_size(layout.model)
    if nbytes <= PROTOBUF_LIMIT:
        return layout, ()
    larger = {t.name: "" for t in tensors(model) if t.name and (byte_size(t) or 0) >= SMALLEST_MOVED}
    layout = plan_layout(model, name, source, larger | homes)
    if serialized_size(layout.model) > PROTOBUF_LIMIT:
        message = f"{name} would exceed protobuf's 2 GiB even with its weights outside"
        raise ModelError("E310", message, cause=f"{nbytes} bytes in one file")
    warning = f"E310: {name} would exceed protobuf's 2 GiB; written with external data ({name}.data)"
    return layout, (warning,)


@contextmanager
def staging_folder(path: Path, nbytes: int) -> Iterator[Path]:
    """A new hidden folder on the file system of the output; gone afterwards, whatever happens.

    Raises:
        RuntimeProblem: E605, there is no room for `nbytes`.
    """
    with disk_errors(path, nbytes):
        if shutil.disk_usage(path.parent).free < nbytes:
            raise no_room(path, nbytes)
        folder = Path(mkdtemp(prefix=".onnxprune-", dir=path.parent))
    try:
        yield folder
    finally:
        undone = not os.path.lexists(folder / REPLACED) or not (folder / path.name).exists()
        if undone:  # else the old weights could not be put back, and this folder holds their only copy
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors(path: Path, nbytes: int) -> Iterator[None]:
    """Say what the operating system's errors mean for the output `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise no_room(path, nbytes) from error
        message = f"{path} cannot be written: {error.strerror or error}"
        raise UsageError("E203", message, hint=ELSEWHERE) from error


def no_room(path: Path, needed: int) -> RuntimeProblem:
    free = shutil.disk_usage(path.parent).free
    message = f"{path} needs {size(needed)}, {path.parent} has {size(free)} left"
    return RuntimeProblem("E605", message, hint="free some space, or choose an output on another disk")


def write_files(layout: Layout, path: Path) -> None:
    write_segments(layout.segments, path.parent)
    with path.open("wb") as file:
        write_model(layout.model, file)
        flush(file)


def commit(staging: Path, path: Path) -> None:
    """Rename the weights, then the model, from the staging folder into place."""
    new_data, data, replaced = staging / data_path(path).name, data_path(path), staging / REPLACED
    has_data = new_data.exists()
    try:
        if has_data and os.path.lexists(data):
            data.rename(replaced)
        if has_data:
            new_data.rename(data)
        (staging / path.name).replace(path)
    except BaseException:
        if (staging / path.name).exists():  # else all of it is done, and an interrupt came a moment too late
            if has_data and not new_data.exists():
                data.rename(new_data)
            if os.path.lexists(replaced):
                replaced.rename(data)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Wait until renames in a folder are on the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
