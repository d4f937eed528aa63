"""Distillation: a pruned model learns to give what the original gives, with or without labels.

options.py        what decides a distillation
pairing.py        whether two models can be teacher and student
losses.py         the teacher's term, the labels' term, the features' term
augmentation.py   random views of images
data.py           the parts in memory, and the batches of an epoch
optimizer.py      optimizer, learning rate, average of the weights
precision.py      device and type of the forward passes
parallel.py       several processes
batching.py       whether a model takes several rows at once
teacher.py        the teacher's side of each batch
evaluation.py     the score on the search part
logs.py           metrics.csv and TensorBoard
checkpoint.py     the state of a run in one file
learner.py        the student in training
loop.py           steps and epochs
sites.py          coupled sites of the weights as index tensors
sparsity.py       what makes whole channels small before pruning
hooks.py          what a caller can hang in
writing.py        back into ONNX, checked in ONNX Runtime
preparing.py      the module in training
session.py        a run under way
distilling.py     the whole
"""

from onnxprune.distillation.data import TrainingData
from onnxprune.distillation.distilling import Distilled, distill
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.learner import Stopped
from onnxprune.distillation.logs import EpochRow, StepRow
from onnxprune.distillation.options import DistillOptions

__all__ = [
    "DistillOptions",
    "Distilled",
    "EpochRow",
    "Hooks",
    "StepRow",
    "Stopped",
    "TrainingData",
    "distill",
]
