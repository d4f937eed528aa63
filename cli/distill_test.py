"""The figures of the test part: which ones fit is seen before the training, so that it is not in vain."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onnxprune.cli.data_options import DataSource
from onnxprune.cli.distill_data import test_data
from onnxprune.data import Batch, Samples
from onnxprune.errors import DataError
from onnxprune.measurement.accuracy import Measurement, MeasureOptions, measure
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import Graph

FIRST = 64  # rows that the original is tried on


@dataclass(frozen=True)
class Tested:
    """The test part, and what is measured on it at the end."""

    samples: Samples
    figures: MeasureOptions


def tested_by(data: DataSource, test: str, original: Path, student: Graph) -> Tested:
    """The test part, and what is measured on it."""
    samples = test_data(data, test, student)
    return Tested(samples, fitting_figures(original, student, samples))


def fitting_figures(original: Path, graph: Graph, test: Samples) -> MeasureOptions:
    """What is measured: accuracy or agreement, or the error against the original where no classes are told.

    Args:
        original: The model that is tried on the first rows of `test`.
        graph: Of the student.
        test: The test part.

    Raises:
        DataError: E503, the labels are none of this classifier; E504, invented samples.
    """
    from onnxprune.converters.outputs import float_outputs

    if test.synthetic:
        raise DataError("E504", "--test random: on random inputs nothing is accurate", hint="--test test.npz")
    floats = float_outputs(graph)
    options = MeasureOptions(output=graph.outputs[floats[0]].name if floats else "")
    first = next(test.batches(FIRST), None)
    if first is None:
        raise DataError("E504", f"{test.source}: no samples in the test part", hint="leave --test out")
    few = replace(test, chunks=lambda _size: iter((first,)), count=len(first))
    try:
        measured_on(original, few, original, options)
    except DataError:
        if tells_classes(graph, first):
            raise
        return replace(options, metrics=("mse",))
    return options


def tells_classes(graph: Graph, batch: Batch) -> bool:
    """Whether the model gives scores of classes, for rows with one label each or none."""
    from onnxprune.converters.outputs import is_classifier

    labels = batch.labels
    single = labels is None or np.size(labels) == len(batch)
    return single and is_classifier(graph, labelled=labels is not None)


def measured_on(path: Path, test: Samples, original: Path, options: MeasureOptions) -> Measurement:
    """The figures of one model, compared with the original's outputs where they need them."""
    settings = SessionSettings(provider="auto", threads=0)
    compared = "mse" in options.metrics or not test.labelled
    reference = make_session(original, settings) if compared else None
    return measure(make_session(path, settings), test, options=options, reference=reference)
