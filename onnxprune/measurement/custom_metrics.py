"""The user's own metric: `package.module:function`.

A function is called once with everything:

    def mean_iou(outputs, labels): ...            outputs {name: array (N, ...)}, labels (N, ...) or None
    def drift(outputs, labels, reference): ...    reference: outputs of the original, likewise

A class is made once and fed batch by batch, for what does not fit in memory:

    class MeanIou:
        def update(self, outputs, labels): ...
        def result(self): ...
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from onnxprune.data.callables import load_callable, user_error
from onnxprune.data.samples import Array
from onnxprune.errors import DataError, OnnxPruneError
from onnxprune.measurement.accumulators import Observed

TERMINATED = 143  # exit code of the handler of SIGTERM


class CustomMetric:
    """The user's function or class as an accumulator.

    Raises:
        DataError: E506, it cannot be imported, raises, or gives no finite number.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        made = load_callable(spec, code="E506")
        streams = inspect.isclass(made) and hasattr(made, "update") and hasattr(made, "result")
        self._target: Any = self._guarded(made) if streams else _Collector(made)

    def update(self, observed: Observed) -> None:
        update = self._target.update
        arguments: list[Any] = [dict(observed.outputs), observed.labels]
        if _wants_reference(update):
            arguments.append(observed.reference)
        self._guarded(update, *arguments)

    def result(self) -> float:
        value = self._guarded(self._target.result)
        try:
            figure = float(value)
        except (TypeError, ValueError) as error:
            raise DataError("E506", f"{self._spec} gives {type(value).__name__}, want a number") from error
        if not math.isfinite(figure):
            raise DataError("E506", f"{self._spec} gives {figure}, want a finite number")
        return figure

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except OnnxPruneError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise user_error(self._spec, error, code="E506") from error
        except SystemExit as error:
            if error.code == TERMINATED:  # a signal's, not the function's
                raise
            raise user_error(self._spec, error, code="E506") from error


class _Collector:
    """Keeps all outputs for a function that wants them at once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._outputs: dict[str, list[Array]] = defaultdict(list)
        self._reference: dict[str, list[Array]] = defaultdict(list)
        self._labels: list[Array] = []

    def update(self, outputs: Mapping[str, Array], labels: Array | None, reference: Any) -> None:
        _append(self._outputs, outputs)
        _append(self._reference, reference or {})
        if labels is not None:
            self._labels.append(labels)

    def result(self) -> Any:
        arguments: list[Any] = [
            _joined(self._outputs),
            np.concatenate(self._labels) if self._labels else None,
        ]
        if _wants_reference(self._function):
            arguments.append(_joined(self._reference) or None)
        return self._function(*arguments)


def _wants_reference(function: Callable[..., Any]) -> bool:
    return "reference" in inspect.signature(function).parameters


def _append(lists: dict[str, list[Array]], values: Mapping[str, Array]) -> None:
    for name, value in values.items():
        lists[name].append(value)


def _joined(lists: Mapping[str, list[Array]]) -> dict[str, Array]:
    return {
        name: np.concatenate(values) if values[0].ndim else np.stack(values) for name, values in lists.items()
    }
