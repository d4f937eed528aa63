"""From a model that takes batches to the module in training: norms, device, order in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from onnxprune.converters import OnnxModule
from onnxprune.converters.batch_norm import Folded, insert_batch_norm
from onnxprune.converters.outputs import Forward
from onnxprune.distillation.batching import Form
from onnxprune.distillation.data import Rows
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.learner import Setting
from onnxprune.distillation.loop import batches_of_epoch
from onnxprune.distillation.precision import can_compile
from onnxprune.distillation.sparsity import Sparsity, make_sparsity
from onnxprune.errors import UnsupportedError
from onnxprune.groups import find_groups
from onnxprune.onnx_file import Graph

CALIBRATION_ROWS = 2048
WORTH_COMPILING = 500  # steps; compiling takes as long as some hundred of them
LEAST_BATCH = 16  # rows for the statistics of a batch
Inserted = tuple[Folded, ...]


def tell_forms(forms: Sequence[tuple[Graph, Form]], hooks: Hooks) -> None:
    for graph, form in forms:
        if form.freed:
            hooks.note(f"{graph.path.name}: a batch of 1 is built in; trained with its batch axis freed.")
        if form.row_by_row:
            hooks.note(
                f"{graph.path.name}: a batch of 1 is built in; trained row by row, BatchNormalization frozen."
            )


def prepare_norms(form: Form, rows: Rows, setting: Setting, hooks: Hooks) -> Inserted:
    """Freeze BatchNormalization, or put it back where export folded it away, in place; tell which."""
    module = form.module
    module.freeze_bn = module.freeze_bn or setting.options.freeze_bn
    module.sync_bn = setting.crew.size > 1
    inserted = put_back_norms(form, rows, setting)
    if inserted:
        hooks.note(f"{len(inserted)} BatchNormalizations that export folded away are put back to train.")
    return inserted


def put_back_norms(form: Form, rows: Rows, setting: Setting) -> Inserted:
    """Where BatchNormalization was put into the module, in place; the seed draws the rows for it."""
    options, module = setting.options, form.module
    if not options.insert_bn or module.freeze_bn or options.batch < LEAST_BATCH:
        return ()
    rng = np.random.default_rng((options.seed, CALIBRATION_ROWS))
    chosen = rng.permutation(len(rows))[:CALIBRATION_ROWS]
    starts = range(0, len(chosen), options.batch)
    batches = (
        [value[torch.from_numpy(chosen[at : at + options.batch])] for value in rows.inputs] for at in starts
    )
    return insert_batch_norm(module, batches)


def arranged(module: nn.Module, setting: Setting) -> Any:
    """On the device, images with their channels last where that is asked for; in place."""
    module = module.to(setting.arithmetic.device)
    if setting.options.channels_last:
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.ndim == 4:  # Module.to refuses a module in which there is one of five axes
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return module


def freeze_unused(forward: Forward, module: nn.Module, inputs: list[Tensor]) -> None:
    """Weights that no output depends on are no longer trained, in place."""
    device = next(module.parameters()).device
    seen = forward([value.to(device) for value in inputs])
    torch.stack([value.float().sum() for value in (*seen.outputs, *seen.features)]).sum().backward()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def sparsity_for(student: Graph, module: nn.Module, setting: Setting, *, rows: int) -> Sparsity | None:
    """What makes channels small, where that is asked for."""
    options = setting.options
    if options.sparsity == "none":
        return None
    assert isinstance(module, OnnxModule)
    steps = options.epochs * batches_of_epoch(rows, options) // options.accumulate
    return make_sparsity(find_groups(student), module, options, steps=steps)


def require_weights(module: nn.Module, student: Graph) -> None:
    """Raises: UnsupportedError: E406, nothing in the module can be trained."""
    if not any(p.requires_grad for p in module.parameters()):
        raise UnsupportedError("E406", f"{student.path.name} has no weights that training could change")


def runner_of(form: Form, module: nn.Module, setting: Setting, hooks: Hooks) -> nn.Module:
    """What is called in training: compiled where that is asked for."""
    options = setting.options
    steps = options.epochs * batches_of_epoch(setting.identity.fit_rows, options) // options.accumulate
    pays = steps >= WORTH_COMPILING and can_compile(setting.arithmetic.device)
    use = pays if options.compile is None else options.compile
    runner = form.runner(module)
    return Compiled(runner, hooks) if use and not form.row_by_row else runner


class Compiled(nn.Module):
    """A module compiled at its first call, or as it is where torch.compile cannot follow it."""

    def __init__(self, module: nn.Module, hooks: Hooks) -> None:
        super().__init__()
        self.module = module
        self._compiled = [torch.compile(module)]  # in a list, so that it is no second submodule
        self._rehearsed = False
        self._hooks = hooks

    def forward(self, *inputs: Tensor, taps: Sequence[str] = ()) -> Any:
        if not self._compiled:
            return self.module(*inputs, taps=taps)
        try:
            if torch.is_grad_enabled() and not self._rehearsed:
                self._rehearse(inputs, taps)
            return self._compiled[0](*inputs, taps=taps)
        except Exception as error:  # noqa: BLE001 - compilers raise whatever they like; the module says it again
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._hooks.note(f"torch.compile cannot follow the model, which runs as it is: {first}")
            self._compiled.clear()
            return self.module(*inputs, taps=taps)

    def _rehearse(self, inputs: Sequence[Tensor], taps: Sequence[str]) -> None:
        """A step without effect: the way back is compiled at its first use, too late to change course."""
        held = [buffer.clone() for buffer in self.module.buffers()]
        weights = [p for p in self.module.parameters() if p.requires_grad]
        try:
            with torch.random.fork_rng():
                found = tree_leaves(self._compiled[0](*inputs, taps=taps))
                made = [v for v in found if isinstance(v, Tensor) and v.requires_grad]
                if made:
                    torch.autograd.grad([v.float().sum() for v in made], weights, allow_unused=True)
        finally:
            for buffer, before in zip(self.module.buffers(), held, strict=True):
                buffer.data.copy_(before)
        self._rehearsed = True
