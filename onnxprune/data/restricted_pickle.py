"""Old numpy pickles read without trusting them: plain numbers, text, lists, dicts and number arrays.

A pickle names functions to call. Here every name but the three that an array needs is refused, and
those three are stand-ins that only collect the array's parts.
"""

import pickle  # noqa: TID251  (every name that a pickle could call is refused but three stand-ins)
from typing import IO, Any

import numpy as np

from onnxprune.data.samples import Array

DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, LookupError, ValueError, TypeError, ImportError,
           ArithmeticError, MemoryError)  # fmt: skip
NUMBERS = frozenset({"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"})


class _Dtype:
    """Stands in for numpy.dtype: its code, checked."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        if code not in NUMBERS and code not in {name.encode() for name in NUMBERS}:
            raise pickle.UnpicklingError(f"arrays of dtype {code!r} are refused")
        self.code = code if isinstance(code, str) else code.decode()
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.order = ">"

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Ndarray:
    """Stands in for numpy.ndarray: takes the state that numpy wrote, as bytes and shape."""

    array: Array

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, content = state
        raw = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array's content is not plain bytes, refused")
        flat: Array = np.frombuffer(raw, dtype.dtype())
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_arguments: Any) -> _Ndarray:
    return _Ndarray()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Python 3 writes bytes so in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is refused")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, refused")
        return ALLOWED[module, name]


def load_plain(file: IO[bytes]) -> dict[str, Any]:
    """The dict that a pickle holds, its top-level keys as text and its arrays as arrays.

    Raises:
        ValueError: Anything but plain data and number arrays, or no dict.
    """
    try:
        content = _Unpickler(file, encoding="bytes").load()
    except DAMAGED as error:
        raise ValueError(f"pickle refused: {str(error) or type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, want a dict")
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): (
            value.array if isinstance(value, _Ndarray) else value
        )
        for key, value in content.items()
    }
