"""The torch module of a model: its plan, and the model's initializers as parameters and buffers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.converters.steps import Plan
from onnxprune.converters.walking import Walk, run

HOLDER = "_others"


class OnnxModule(nn.Module):
    """A model as a torch module, called with its inputs in graph order.

        module = to_torch(load_graph(Path("resnet20.onnx")))
        logits = module(images)  # (N, 3, 32, 32) -> (N, 10)
        logits, inner = module(images, taps=["/layer3/Relu_output_0"])

    One output is returned as it is, several as a tuple. Parameters and buffers have the names of the
    initializers; "a.weight" is the parameter `weight` of a submodule `a`, as torch wants it.

    Attributes:
        input_names, output_names: In graph order.
        freeze_bn: BatchNormalization uses its running statistics in training too.
        sync_bn: BatchNormalization in training sees the rows of all processes of the process group.
    """

    def __init__(self, plan: Plan, output_names: Sequence[str], tensors: Mapping[str, Any]) -> None:
        super().__init__()
        self._plan = plan
        self.input_names = plan.inputs
        self.output_names = tuple(output_names)
        self.freeze_bn = False
        self.sync_bn = False
        self._input_types: dict[str, torch.dtype] = {}
        self._output_types: dict[str, torch.dtype] = {}
        self._places: dict[str, tuple[tuple[str, ...], str]] = {}
        for name, tensor in tensors.items():
            self.hold(name, tensor)

    def hold(self, name: str, tensor: Any) -> None:
        """Take a parameter, buffer or array under an initializer's name, in place."""
        path, attribute = place_for(self, name)
        holder = submodule(self, path)
        if isinstance(tensor, nn.Parameter):
            holder.register_parameter(attribute, tensor)
        elif isinstance(tensor, Tensor):
            holder.register_buffer(attribute, tensor)
        else:
            setattr(holder, attribute, tensor)
        self._places[name] = (path, attribute)

    def release(self, name: str) -> None:
        """Undo `hold`, in place."""
        path, attribute = self._places.pop(name)
        delattr(submodule(self, path), attribute)

    def tensor(self, name: str) -> Any:
        """The live parameter or buffer of an initializer."""
        path, attribute = self._places[name]
        return getattr(submodule(self, path), attribute)

    @property
    def initializers(self) -> dict[str, Any]:
        """Live parameters and buffers by initializer name."""
        return {name: self.tensor(name) for name in self._places}

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters by initializer name."""
        return ((n, t) for n, t in self.initializers.items() if isinstance(t, nn.Parameter))

    def forward(self, *inputs: Any, taps: Iterable[str] = ()) -> Any:
        environment = self.initializers
        device = next((t.device for t in (*inputs, *environment.values()) if isinstance(t, Tensor)), None)
        for name, value in zip(self.input_names, inputs, strict=True):
            environment[name] = value.to(self._input_types[name]) if name in self._input_types else value
        training = self.training and not self.freeze_bn
        wanted = frozenset(taps)
        tapped = {name: environment[name] for name in wanted if name in environment}
        walk = Walk(training, self.sync_bn, device or torch.device("cpu"), wanted, tapped)
        values = run(self._plan, environment, walk)
        for position, name in enumerate(self.output_names):
            if name in self._output_types:
                values[position] = values[position].to(self._output_types[name])
        outputs = values[0] if len(values) == 1 else tuple(values)
        return (outputs, tapped) if wanted else outputs


def place_for(root: nn.Module, name: str) -> tuple[tuple[str, ...], str]:
    """Where a name goes: dots make submodules; what torch cannot name so goes into one holder."""
    *path, attribute = name.split(".")
    if all((*path, attribute)) and not clash(root, path, attribute):
        return tuple(path), attribute
    others, attribute = root._modules.get(HOLDER, None) or nn.Module(), name.replace(".", "·") or "·"
    while hasattr(others, attribute):
        attribute += "·"
    return (HOLDER,), attribute


def clash(root: nn.Module, path: Sequence[str], attribute: str) -> bool:
    """Whether a part of the name is something else already: a tensor "a" beside "a.b"."""
    holder = root
    for part in path:
        if part in holder._modules:
            holder = holder._modules[part]  # type: ignore[assignment]
            continue
        return hasattr(holder, part)
    return hasattr(holder, attribute)


def submodule(root: nn.Module, path: Sequence[str]) -> nn.Module:
    """The module at a path, made where it is missing, in place."""
    holder = root
    for part in path:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder._modules[part]  # type: ignore[assignment]
    return holder
