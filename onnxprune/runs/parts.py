"""The parts of the samples that a run reads: weights come from `fit`, every choice from `search`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from onnxprune.data import DataOptions, Samples, open_data, split
from onnxprune.data.options import Part
from onnxprune.data.samples import ModelInput, count_rows, is_empty
from onnxprune.errors import DataError

# Where undivided samples are for fit and search alone, because others are there for the test.
WITHOUT_TEST: Mapping[Part, tuple[float, float]] = {"fit": (0.0, 0.8), "search": (0.8, 1.0), "test": (0, 0)}
FIT_SHARE = 0.75  # of a search part that must serve for both, because there is nothing to fit on
MISSING_PART = "E501"


@dataclass(frozen=True)
class FitAndSearch:
    """The two parts that a run may learn and choose from.

    Attributes:
        told: How they came about, where that is not plain.
    """

    fit: Samples
    search: Samples
    told: str = ""


def open_fit_and_search(spec: str, inputs: tuple[ModelInput, ...], reading: DataOptions) -> FitAndSearch:
    """Both parts; samples that have nothing to fit on give a share of their search part.

    Raises:
        DataError: E501 to E503, they cannot be read or do not fit; E504, invented samples.
    """
    search = open_part(spec, inputs, replace(reading, part="search"))
    try:
        return FitAndSearch(open_part(spec, inputs, replace(reading, part="fit")), search)
    except DataError as error:
        if error.code != MISSING_PART:
            raise
    fit, search = split(search, FIT_SHARE, seed=reading.seed)
    told = (
        f"{Path(spec).name} has no part to fit on: {FIT_SHARE:.0%} of its search part are for "
        "fitting, the rest for choosing."
    )
    return FitAndSearch(fit, search, told)


def open_part(spec: str, inputs: tuple[ModelInput, ...], options: DataOptions) -> Samples:
    """Real samples.

    Raises:
        DataError: E501 to E503, they cannot be read or do not fit; E504, invented samples.
    """
    samples = open_data(spec, inputs=inputs, options=options)
    if samples.synthetic:
        raise DataError(
            "E504",
            "a run learns and measures on samples; on random ones neither means anything",
            hint="--data val.npz; it needs no labels. Without any samples: `onnxprune prune`",
        )
    return samples


def require_rows(parts: Mapping[str, Samples], *, shares: str) -> None:
    """Whether every part has a row; also where only a pass can tell.

    Args:
        parts: By name.
        shares: How samples are shared out, for the hint.

    Raises:
        DataError: E504, one has none.
    """
    empty = next((name for name, samples in parts.items() if is_empty(samples)), None)
    if empty is None:
        return
    counts = ", ".join(f"{count_rows(samples)} for {name}" for name, samples in parts.items())
    raise DataError(
        "E504", f"{parts[empty].source} has too few rows: {counts}; each wants at least one", hint=shares
    )
