"""What a run reads: the model, and three parts of the samples that never mix."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxprune.compression.options import CompressOptions
from onnxprune.data import DataOptions, Samples, choose
from onnxprune.data.options import Part, parse_images, parse_map, parse_shapes
from onnxprune.latency import WatchOptions
from onnxprune.onnx_file import Graph
from onnxprune.pipeline import PruneOptions
from onnxprune.runs.identity import data_hash, model_hash
from onnxprune.runs.parts import WITHOUT_TEST, open_fit_and_search, open_part
from onnxprune.search.inputs import asked_for

ALONE = "global"  # the allocation where nothing is searched


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
    two = open_fit_and_search(options.data, graph.inputs, own)
    test_part: Part | None = None if apart else "test"
    test = open_part(options.test or options.data, graph.inputs, replace(reading, part=test_part))
    parts = (two.fit, two.search, test)
    fit, search, test = (p if options.samples is None else choose(p, options.samples) for p in parts)
    return Parts(fit, search, test, two.told)


def shapes_of(options: CompressOptions) -> dict[str, tuple[int, ...]]:
    return parse_shapes(options.shape)


def prune_options(options: CompressOptions, criterion: str) -> PruneOptions:
    """What the pipeline is asked for.

    Raises:
        UsageError: E202, a target, an alignment or a least share that makes no sense.
    """
    settings = options.prune
    asked = asked_for(options.target, settings, shape=options.shape, seed=options.seed)
    allocation = ALONE if settings.allocation == "auto" else settings.allocation
    return replace(asked, criterion=criterion, allocation=allocation, latency=watch_options(options))


def counted_by(options: CompressOptions) -> PruneOptions:
    """What masks are chosen by; those that are given need no table of latencies, for they are measured."""
    asked = prune_options(options, options.prune.criterion)
    return asked if options.masks is None else replace(asked, target=asked.target.counted)


def watch_options(options: CompressOptions) -> WatchOptions:
    """How latency is measured, where the target bounds it: as at the end."""
    settings = options.measure
    folder = None if settings.latency_cache is None else Path(settings.latency_cache)
    return WatchOptions(settings.provider, threads=settings.threads, folder=folder)


def identity(options: CompressOptions, graph: Graph) -> dict[str, Any]:
    """sha256 of the model with its weights files, of the samples, and of masks and a policy to begin with.

    None for what a function makes, and for what is not given.
    """
    optional = {"test": options.test, "masks": options.masks, "init_policy": options.search.init_policy}
    return {
        "model": model_hash(graph),
        "data": data_hash(options.data),
        **{name: None if spec is None else data_hash(spec) for name, spec in optional.items()},
    }
