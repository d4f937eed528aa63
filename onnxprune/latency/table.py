"""What was measured of a model, as a function of kept counts, and as a file.

    latency = fixed + sum over segments of times[input extent, output extent]

All in whole nanoseconds and bilinear between the points, rounded down: so the sum never falls where a count
grows, and it is what was measured of the original where all is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.errors import UsageError

Counts = NDArray[np.int64]
FORMAT = 1


@dataclass(frozen=True)
class Setting:
    """Where it was measured.

    Attributes:
        provider: That really ran the original.
        threads: Of one operator.
        clock: "cpu", processor time, or "wall".
        runtime: Version of ONNX Runtime.
        processor: Its name.
    """

    provider: str
    threads: int
    clock: str
    runtime: str
    processor: str


@dataclass(frozen=True)
class Times:
    """The times of one segment.

    Attributes:
        name: Of its contraction.
        weights: For each axis, inputs and outputs: indices that one channel of a group takes along it.
        points: For each axis: the measured extents, ascending.
        times_ns: (inputs, outputs) at these points; never falling along either.
    """

    name: str
    weights: tuple[Mapping[str, int], Mapping[str, int]]
    points: tuple[Sequence[int], Sequence[int]]
    times_ns: Counts

    @property
    def whole_ns(self) -> int:
        return int(self.times_ns[-1, -1])

    def scaled(self, factor: float) -> "Times":
        return replace(self, times_ns=np.floor(self.times_ns * factor).astype(np.int64))


@dataclass(frozen=True)
class LatencyTable:
    """The latency of a model by kept counts.

    Attributes:
        setting: Where it was measured.
        original_ns: Of the whole original.
        segments: Their times, on the scale of the whole model.
    """

    setting: Setting
    original_ns: int
    segments: tuple[Times, ...]

    @property
    def fixed_ns(self) -> int:
        """What no mask changes."""
        return self.original_ns - sum(times.whole_ns for times in self.segments)

    def scaled(self, factor: float) -> "LatencyTable":
        """The same original, with so many times the part that masks change; what is fixed is not below 0."""
        moving = sum(times.whole_ns for times in self.segments)
        factor = min(max(factor, 0.0), self.original_ns / moving if moving else 0.0)
        segments = tuple(times.scaled(factor) for times in self.segments)
        return replace(self, segments=segments)

    def to_json(self) -> dict[str, Any]:
        segments = [
            {
                "name": times.name,
                "weights": [dict(axis) for axis in times.weights],
                "points": [list(axis) for axis in times.points],
                "times_ns": times.times_ns.tolist(),
            }
            for times in self.segments
        ]
        return {
            "format": FORMAT,
            "setting": asdict(self.setting),
            "original_ns": self.original_ns,
            "segments": segments,
        }

    @staticmethod
    def from_json(document: Any) -> "LatencyTable":
        """What `to_json` gave.

        Raises:
            UsageError: E208, something else.
        """
        try:
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}, not {FORMAT}")
            segments = tuple(map(times_from, document["segments"]))
            return LatencyTable(Setting(**document["setting"]), int(document["original_ns"]), segments)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError("E208", "the latency table cannot be read", cause=str(error)) from error


def times_from(document: Mapping[str, Any]) -> Times:
    first, second = document["weights"]
    inputs, outputs = document["points"]
    times = np.array(document["times_ns"], np.int64)
    if times.shape != (len(inputs), len(outputs)):
        raise ValueError(f"{document['name']}: {times.shape} times for {len(inputs)} x {len(outputs)} points")
    return Times(document["name"], (first, second), (inputs, outputs), times)


def never_falling(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times (inputs, outputs) that do not fall along an axis: noise is shared between those that do.

    >>> never_falling(np.array([[1.0, 4.0, 3.0, 5.0]])).tolist()
    [[1.0, 3.5, 3.5, 5.0]]
    """
    rising = np.maximum.accumulate(np.maximum.accumulate(times, 0), 1)
    back = times[::-1, ::-1]
    falling = np.minimum.accumulate(np.minimum.accumulate(back, 0), 1)[::-1, ::-1]
    return np.asarray((rising + falling) / 2)
