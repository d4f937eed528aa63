"""Reading samples: the inputs of a model and their labels."""

from onnxprune.data.opening import open_data
from onnxprune.data.options import DataOptions, ImageOptions
from onnxprune.data.samples import Batch, Samples, choose, portion, split

__all__ = ["Batch", "DataOptions", "ImageOptions", "Samples", "choose", "open_data", "portion", "split"]
