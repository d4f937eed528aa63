"""Criteria that look at what contractions read, on calibration inputs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.cuts import prunable_cuts, value_of
from onnxprune.calibration.probe import Totals, collect
from onnxprune.criteria.options import Feed, Options, Scores, required
from onnxprune.criteria.readers import ChannelTable, reader_sizes
from onnxprune.errors import UnsupportedError
from onnxprune.groups import Groups

Array = NDArray[Any]


def act_mean_abs(groups: Groups, options: Options) -> Scores:
    """Mean of |x| over samples and positions, where contractions read a channel.

    Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017,
    section 2.2 (activation criterion). Several readers: their mean.
    """
    return mean_over_readers(groups, options, np.abs)


def apoz(groups: Groups, options: Options) -> Scores:
    """Share of values that are not zero, where contractions read a channel: 1 - APoZ.

    Hu et al., Network Trimming, 2016, equation 1 (average percentage of zeros after ReLU).

    Raises:
        UnsupportedError: E403, where nothing is ever zero: a model without ReLU.
    """
    scores = mean_over_readers(groups, options, lambda x: x != 0)
    if scores and all((values == 1).all() for values in scores.values()):
        raise UnsupportedError(
            "E403",
            "criterion apoz counts zeros, and no value of this model is ever zero",
            cause="it has no ReLU before its contractions",
            hint="use act-mean-abs or wanda",
        )
    return scores


def wanda(groups: Groups, options: Options) -> Scores:
    """Norm of what is read times |w| of who reads it: s_j = sum over readers of ||X_j||_2 * sum_i |W_ij|.

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024, equation 1,
    added up over the slice of the weight that goes with the channel. A reader without weights (a product of
    two activations) counts with the norm alone. In a grouped convolution the slice is the mean over groups.
    """
    cuts = prunable_cuts(groups)
    totals = collect(groups, cuts, required_inputs(options, "wanda"), elementwise(np.square))
    sizes = reader_sizes(groups, cuts)
    table = ChannelTable(groups)
    for cut, size in zip(cuts, sizes, strict=True):
        norms = np.sqrt(totals[value_of(groups.graph, cut), cut.axis].sums)
        table.add(cut, norms * size)
    return table.sums()


def mean_over_readers(groups: Groups, options: Options, function: Callable[[Array], Array]) -> Scores:
    """Mean of an elementwise function over all that contractions read of a channel."""
    cuts = prunable_cuts(groups)
    totals = collect(groups, cuts, required_inputs(options, "this criterion"), elementwise(function))
    table = ChannelTable(groups)
    for cut in cuts:
        found = totals[value_of(groups.graph, cut), cut.axis]
        table.add(cut, found.sums / max(1, found.count))
    return table.means()


def required_inputs(options: Options, name: str) -> Iterator[Feed]:
    """The inputs of the calibration samples.

    Raises:
        DataError: E501, where there are none.
    """
    return (batch.inputs for batch in required(options, name))


def elementwise(function: Callable[[Array], Array]) -> Callable[[Array, int], Totals]:
    """Sums of a function of each element, by index of the channel axis."""

    def reduction(value: Array, axis: int) -> Totals:
        others = tuple(a for a in range(value.ndim) if a != axis)
        sums = function(value).sum(axis=others, dtype=np.float64)
        return Totals(sums, value.size // max(1, value.shape[axis]))

    return reduction
