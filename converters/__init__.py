"""The round trip to torch and back; it knows nothing of pruning.

    graph = load_graph(Path("model.onnx"))
    module = to_torch(graph)        # parameters are the initializers, by name
    ...                             # train
    model = to_onnx(module, graph)  # the same graph with the trained arrays

signature.py    what a function's signature says of its operator
functions/      one function for each operator
table.py        which function from which opset on
host.py         shape arithmetic on Python numbers
steps.py        what a plan is made of
naming.py       one name for each value, in branches too
gradients.py    what Gradient nodes differentiate
carrying.py     which quantised values are floats here, so that they train
formats.py      the numbers that quantisation rounds to
master.py       half precision computed as float32
planning.py     from a graph to a plan
walking.py      running a plan
module.py       the nn.Module
reading.py      which values are read as numbers alone
round_trip.py   to_torch and to_onnx
outputs.py      which values of a module a loss looks at
sensitivity.py  how a loss answers to the weights and to values inside
"""

from onnxprune.converters.module import OnnxModule
from onnxprune.converters.round_trip import to_onnx, to_torch

__all__ = ["OnnxModule", "to_onnx", "to_torch"]
