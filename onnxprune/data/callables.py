"""A function of the user's own, named `package.module:function` or `file.py:function`."""

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from onnxprune.errors import DataError


def is_callable_spec(spec: str) -> bool:
    """Whether `spec` names a function: a dotted name or a .py file, a colon, a name."""
    module, colon, name = spec.rpartition(":")
    dotted = all(part.isidentifier() for part in module.split("."))
    return bool(colon) and name.isidentifier() and (dotted or module.endswith(".py"))


def load_callable(spec: str, *, code: str) -> Callable[..., Any]:
    """The function that `spec` names; modules in the working directory are found too.

        load_callable("my_data:validation", code="E501")

    Args:
        spec: `package.module:function` or `path/to/file.py:function`.
        code: Row of the error catalogue for what goes wrong.

    Raises:
        DataError: With that code: no such module or function, or importing it raised.
    """
    place, _, name = spec.rpartition(":")
    try:
        with _working_directory_importable():
            module = _module_from_file(Path(place)) if place.endswith(".py") else _module(place)
    except Exception as error:  # the user's module may raise anything
        raise user_error(spec, error, code=code) from error
    function = getattr(module, name, None)
    if not callable(function):
        names = ", ".join(key for key, value in vars(module).items() if callable(value) and key[0] != "_")
        raise DataError(code, f"{place} has no function {name}", hint=f"it has: {names}" if names else "")
    return function  # type: ignore[no-any-return]  # what it takes and gives is checked at the call


def user_error(spec: str, error: BaseException, *, code: str) -> DataError:
    """The error that the user's code raised, with the last place in it: the rest is ours or a library's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return DataError(code, f"{spec} raised {type(error).__name__}{where}", cause=" ".join(str(error).split()))


def _is_users(filename: str) -> bool:
    ours = str(Path(__file__).parents[1])
    return (
        not filename.startswith((ours, "<"))
        and "site-packages" not in filename
        and "importlib" not in filename
    )


@contextlib.contextmanager
def _working_directory_importable() -> Iterator[None]:
    """An installed command does not look in the working directory, where such functions usually lie."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _module(name: str) -> ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _module_from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
