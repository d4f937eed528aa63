"""Numbers of any size as features: logarithms, standardisation, ranks. All results are finite."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FLOOR = 1e-4  # of the median: what lies below is as good as 0
LARGEST = 5.0  # standard deviations


def logarithms(values: Floats) -> Floats:
    """log(|x| + a ten-thousandth of the median) with the sign of x, taken as 0 at x = 0 if signs differ.

    Numbers of one sign keep their order; those that are no numbers must be replaced before.
    """
    size = np.abs(values)
    usual = size[size > 0]
    if not len(usual):
        return np.zeros(len(values))
    unit = float(np.median(usual))
    if (values < 0).any() and (values > 0).any():
        signed: Floats = np.sign(values) * np.log1p(size / unit)
        return signed
    result: Floats = np.sign(values.sum()) * np.log(size / unit + FLOOR)
    return result


def standardised(values: Floats, where: NDArray[np.bool_] | None = None) -> Floats:
    """Mean 0 and deviation 1 over those in `where`, bounded; 0 for the others and where all are alike."""
    where = np.ones(len(values), bool) if where is None else where
    own = values[where]
    result = np.zeros(len(values))
    if len(own):
        deviation = float(own.std())
        if deviation > 1e-9 * (1 + float(np.abs(own).max())):
            result[where] = np.clip((own - own.mean()) / deviation, -LARGEST, LARGEST)
    return result


def log_standardised(values: Floats, where: NDArray[np.bool_] | None = None) -> Floats:
    """Both, of finite numbers."""
    where = np.ones(len(values), bool) if where is None else where
    logs = np.zeros(len(values))
    logs[where] = logarithms(values[where])
    return standardised(logs, where)


def ranks(values: Floats, group_of: NDArray[np.int64]) -> Floats:
    """(n,) place of each number among those of its group in [0, 1]; equal ones share the middle of theirs."""
    order = np.lexsort((values, group_of))
    first_of_group = np.searchsorted(group_of[order], group_of[order])
    sizes = np.bincount(group_of)[group_of[order]] if len(values) else first_of_group
    changes = np.zeros(max(0, len(values) - 1), bool)
    for own in (values[order], group_of[order]):
        changes |= own[1:] != own[:-1]
    begins = np.flatnonzero(np.append(len(values) > 0, changes))
    middle = (begins + np.append(begins[1:], len(values)) - 1) / 2
    places = np.repeat(middle, np.diff(np.append(begins, len(values)))) - first_of_group
    result = np.zeros(len(values))
    result[order] = places / np.maximum(1, sizes - 1)
    return result


class Columns:
    """Named features side by side."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.values: list[NDArray[np.float32]] = []

    def put(self, name: str, values: NDArray[np.float64] | NDArray[np.bool_]) -> None:
        self.names.append(name)
        self.values.append(values.astype(np.float32))

    def table(self, count: int) -> NDArray[np.float32]:
        """(count, features), float32."""
        return np.stack(self.values, axis=1) if self.values else np.zeros((count, 0), np.float32)
