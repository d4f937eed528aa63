"""Samples from the user's own function, which yields `dict` or `(dict, label)`."""

from collections.abc import Iterator, Mapping
from typing import Any

from onnxprune.data.adapter import Adapter
from onnxprune.data.callables import load_callable, user_error
from onnxprune.data.samples import Batch, Samples
from onnxprune.errors import DataError, OnnxPruneError


def function_samples(spec: str, adapter: Adapter) -> Samples:
    """The batches, or single rows without a batch axis, that a function yields.

    It is called without arguments, anew for every pass, and must come to an end.

    Raises:
        DataError: E501, it cannot be imported, raised, or yields something else; E502 or E503, what
            it yields first does not fit the model.
    """
    function = load_callable(spec, code="E501")
    one_row = Adapter(spec, adapter.inputs, adapter.options, one_row=True)

    def chunks(_size: int) -> Iterator[Batch]:
        try:
            for item in function():
                arrays, labels = _taken_apart(item, spec)
                yield one_row.batch(arrays, labels)
        except OnnxPruneError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise user_error(spec, error, code="E501") from error

    first = next(chunks(1), None)
    if first is None:
        raise DataError("E501", f"{spec} yields nothing")
    return Samples(spec, chunks, labelled=first.labels is not None)


def _taken_apart(item: Any, spec: str) -> tuple[Mapping[str, Any], Any]:
    arrays, labels = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    if not isinstance(arrays, Mapping):
        raise DataError("E501", f"{spec} yields {type(arrays).__name__}, want dict or (dict, label)")
    return arrays, labels
