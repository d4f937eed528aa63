"""What a run reads: the model, and three parts of the samples that never mix."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnxprune.compression.options import CompressOptions
from onnxprune.compression.run_folder import path_hash
from onnxprune.data import DataOptions, Samples, choose, open_data, split
from onnxprune.data.options import Part, parse_images, parse_map, parse_shapes
from onnxprune.data.samples import ModelInput
from onnxprune.errors import DataError, ModelError
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import data_file, external_locations
from onnxprune.pipeline import PruneOptions
from onnxprune.target import Constraints, parse_min_keep, parse_target, resolve_align

# Where undivided samples are for fit and search alone, because others are there for the test.
WITHOUT_TEST: Mapping[Part, tuple[float, float]] = {"fit": (0.0, 0.8), "search": (0.8, 1.0), "test": (0, 0)}
FIT_SHARE = 0.75  # of a search part that must serve for both, because there is nothing to fit on
MISSING_PART = "E501"


@dataclass(frozen=True)
class Parts:
    """Weights and channels come from `fit`, every choice from `search`, the figures at the end from `test`.

    Attributes:
        told: How they came about, where that is not plain.
    """

    fit: Samples
    search: Samples
    test: Samples
    told: str = ""


def open_parts(options: CompressOptions, graph: Graph) -> Parts:
    """The three parts.

    Raises:
        DataError: E501 to E503, they cannot be read or do not fit; E504, invented samples.
    """
    apart = options.test is not None and options.test != options.data
    reading = DataOptions(
        rename=parse_map(options.map), images=parse_images(options.images), seed=options.seed
    )
    own = replace(reading, portions=WITHOUT_TEST if apart else None)
    told = ""
    search = open_part(options.data, graph.inputs, replace(own, part="search"))
    try:
        fit = open_part(options.data, graph.inputs, replace(own, part="fit"))
    except DataError as error:
        if error.code != MISSING_PART:
            raise
        fit, search = split(search, FIT_SHARE, seed=options.seed)
        told = (
            f"{Path(options.data).name} has no part to fit on: {FIT_SHARE:.0%} of its search part are for "
            "fitting, the rest for choosing."
        )
    test_part: Part | None = None if apart else "test"
    test = open_part(options.test or options.data, graph.inputs, replace(reading, part=test_part))
    parts = (fit, search, test)
    fit, search, test = (p if options.samples is None else choose(p, options.samples) for p in parts)
    return Parts(fit, search, test, told)


def open_part(spec: str, inputs: tuple[ModelInput, ...], options: DataOptions) -> Samples:
    samples = open_data(spec, inputs=inputs, options=options)
    if samples.synthetic:
        raise DataError(
            "E504",
            "compress learns and measures on samples; on random ones neither means anything",
            hint="--data val.npz; it needs no labels. Without any samples: `onnxprune prune`",
        )
    return samples


def shapes_of(options: CompressOptions) -> dict[str, tuple[int, ...]]:
    return parse_shapes(options.shape)


def prune_options(options: CompressOptions, criterion: str) -> PruneOptions:
    """What the pipeline is asked for.

    Raises:
        UsageError: E202, a target, an alignment or a least share that makes no sense.
    """
    settings = options.prune
    constraints = Constraints(
        align=resolve_align(settings.align, provider=settings.device),
        min_keep=parse_min_keep(settings.min_keep),
    )
    return PruneOptions(
        parse_target(options.target),
        criterion=criterion,
        allocation=settings.allocation,
        constraints=constraints,
        heads=settings.heads,
        skip=settings.skip,
        only=settings.only,
        shapes=shapes_of(options),
        seed=options.seed,
    )


def identity(options: CompressOptions, graph: Graph) -> dict[str, Any]:
    """sha256 of the model with its weights files, and of the samples; None for what a function makes."""
    return {
        "model": model_hash(graph),
        "data": data_hash(options.data),
        "test": None if options.test is None else data_hash(options.test),
    }


def model_hash(graph: Graph) -> str:
    """sha256 of the file; with external data of all files, one after the other.

    Raises:
        ModelError: E306, a weights file is gone.
    """
    own = path_hash(graph.path)
    files = sorted(set(external_locations(graph.model).values()))
    if not files:
        return own
    places = [data_file(graph.path, location) for location in files]
    missing = [place for place in places if not place.is_file()]
    if missing:
        raise ModelError("E306", f"weights file '{missing[0]}' is gone", hint="copy it back")
    return text_hash([own, *(path_hash(place) for place in places)])


def text_hash(texts: list[str]) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()


def data_hash(spec: str) -> str | None:
    path = Path(spec)
    return path_hash(path) if path.exists() else None
