"""Running a plan: a loop over its steps, values by their ONNX names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onnxprune.converters.steps import Plan, Source, Step
from onnxprune.converters.types import TORCH_TYPES

Environment = dict[str, Any]


@dataclass(frozen=True)
class Walk:
    """What holds for a whole run.

    Attributes:
        training: Operators that behave otherwise in training do so.
        synced: Statistics of a batch are those of all processes' rows.
        device: Where new tensors are made.
        taps: Names of values to hand out.
        tapped: Where they are put.
    """

    training: bool
    synced: bool
    device: torch.device
    taps: frozenset[str]
    tapped: Environment


@dataclass(frozen=True)
class Body:
    """A subgraph bound to the values around it: `body(*inputs)` gives its outputs as a list."""

    plan: Plan
    walk: Walk
    around: Environment

    def __call__(self, *inputs: Any) -> list[Any]:
        environment = dict(self.around)
        environment.update(zip(self.plan.inputs, inputs, strict=False))
        return run(self.plan, environment, self.walk)


def run(plan: Plan, environment: Environment, walk: Walk) -> list[Any]:
    """Outputs of a plan; the environment is filled and emptied in place."""
    for step in plan.steps:
        try:
            results = take(step, environment, walk)
        except Exception as error:
            error.add_note(f"in node {step.node} ({step.op_type})")
            raise
        for name, value in zip(step.outputs, results, strict=False):
            if name:
                environment[name] = value
                if name in walk.taps:
                    walk.tapped[name] = value
        for name in step.drops:
            del environment[name]
    return [read(source, environment, walk) for source in plan.outputs]


def take(step: Step, environment: Environment, walk: Walk) -> Sequence[Any]:
    """Results of one step."""
    arguments = [read(source, environment, walk) for source in step.sources]
    keywords = {
        name: Body(value, walk, environment) if isinstance(value, Plan) else value
        for name, value in step.keywords.items()
    }
    if "_training" in step.asks:
        keywords["_training"] = walk.training
    if "_synced" in step.asks:
        keywords["_synced"] = walk.synced
    if "_device" in step.asks:
        keywords["_device"] = walk.device
    if "_outputs" in step.asks:
        keywords["_outputs"] = len(step.outputs)
    results = step.call(*arguments, **keywords)
    return results if isinstance(results, tuple) else (results,)


def read(source: Source, environment: Environment, walk: Walk) -> Any:
    if not source.name:
        return source.constant
    value = environment[source.name]
    if not source.change:
        return value
    if source.change == "tensor":
        return torch.tensor(value, dtype=TORCH_TYPES[source.elem_type], device=walk.device)
    return numbers(value, source.change)


def numbers(value: Any, kind: str) -> Any:
    """A value as Python numbers; of a tensor that is a copy from its device."""
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if kind in ("ints", "floats"):
        return value if isinstance(value, list) or value is None else [value]
    return value[0] if isinstance(value, list) else value
