"""What a coupling function is handed: one node, its labels, and the words to state what it does.

A coupling function says, for one operator, which channels of its inputs, outputs and initializers live
and die together, and which numbers in attributes and constants count them. The words:

    take(slot, axis)          labels of an input axis; an axis that is not taken is frozen afterwards
    put(labels)               labels of an output, one entry per axis, None for axes that never change
    couple(a, b)              a[i] and b[i] together; a[i] against a fixed axis freezes a
    freeze(labels, reason)    these must stay
    contract(slot, axis)      the operator sums over this axis (the cut of the masked-equals-pruned law)
    inexact(labels, reason)   what is left is well defined, but not equal to the masked original
    produces / consumes       roles of weight axes, for the criteria
    macs(fixed, *axes)        multiply-accumulates: a product of extents
    bind(slot, index, labels) the integer at that index of a constant input counts these labels
    bind_attr(name, parts)    an integer attribute (or list) counts these labels
    supply(slot, parts)       a missing constant input must be written: one count per part
    pin(name, value, labels)  an attribute whose default depends on these labels must be written
    reindex(slot, labels)     a constant of indices into an axis with these labels; along its `axis`
                              the removed ones go
    choose(options)           one of several equally right couplings; the analysis tries another one
                              where the first leaves everything frozen

Worked example: `Relu` is `ctx.put(ctx.take_all(0))`; `BatchNormalization` couples axis 1 with its four
parameters; a Conv with bias says

    x, w = ctx.take(0, 1), ctx.take_all(1)         # (N, C, ...), (M, C, k...)
    ctx.couple(x, w[1]); ctx.contract(0, 1); ctx.consumes(w[1])
    ctx.couple(w[0], ctx.take(2, 0)); ctx.produces(w[0])
    ctx.put([None, w[0], None, None])
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxprune.onnx_file import Edge, Graph, Initializer, Node
from onnxprune.onnx_file.host import HostValues, extents_of, scale_of
from onnxprune.operators.findings import (
    Binding,
    Choice,
    Cut,
    Findings,
    MacTerm,
    Options,
    Pin,
    Reindex,
    Supply,
)
from onnxprune.operators.labels import AxisLabels, Fact, Labels, ValueLabels

LONGEST_NEW_AXIS = 1 << 24


def fits(labels: Sequence[AxisLabels], shape: tuple[int, ...]) -> bool:
    """Whether there is one label for each index of a shape, where an axis has labels at all."""
    return len(labels) == len(shape) and all(
        axis is None or len(axis) == extent for axis, extent in zip(labels, shape, strict=True)
    )


class CannotFollow(Exception):
    """This node's channels cannot be followed; they are frozen, with this reason."""


class NodeContext:
    """One node under analysis."""

    def __init__(
        self, graph: Graph, node: Node, findings: Findings, host: HostValues, options: Options
    ) -> None:
        self.graph = graph
        self.node = node
        self.findings = findings
        self.store = findings.store
        self.host = host
        self.options = options
        self._taken: set[tuple[int, int]] = set()
        self._const_slots: set[int] = set()  # read as numbers
        self._shape_slots: set[int] = set()  # numbers that are bound to labels
        self._choices = 0

    # --- shapes and constants -----------------------------------------------------------------

    def has(self, slot: int) -> bool:
        return slot < len(self.node.inputs) and bool(self.node.inputs[slot])

    def name(self, slot: int) -> str:
        return self.node.inputs[slot]

    def shape(self, slot: int) -> tuple[int, ...]:
        """Extents of an input.

        Raises:
            CannotFollow: The shape is not known.
        """
        return self._shape_of(self.node.inputs[slot])

    def out_shape(self, index: int = 0) -> tuple[int, ...]:
        return self._shape_of(self.node.outputs[index])

    def _shape_of(self, name: str) -> tuple[int, ...]:
        if name not in self.graph.shapes:
            raise CannotFollow(f"the shape of {name!r} is not known")
        return self.graph.shapes[name]

    def rank(self, slot: int) -> int:
        return len(self.shape(slot))

    def initializer(self, slot: int) -> Initializer | None:
        return self.graph.initializers.get(self.name(slot)) if self.has(slot) else None

    def const(self, slot: int) -> NDArray[Any]:
        """The values of a constant (or computed from constants and shapes) input; marks it taken.

        Raises:
            CannotFollow: It is computed from data.
        """
        self._const_slots.add(slot)
        value = self.host.value(self.name(slot))
        if value is not None:
            return value
        constant = self.initializer(slot)
        if constant is None:
            raise CannotFollow(f"input {slot} is computed from data")
        return constant.array()

    def ints(self, name: str, slot: int, default: Sequence[int] | None = None) -> list[int] | None:
        """Integers that are an attribute in some opsets and an input in others."""
        if name in self.node.attributes:
            value = self.node.attributes[name]
            return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]
        if self.has(slot):
            return [int(v) for v in self.const(slot).reshape(-1)]
        return None if default is None else list(default)

    def axis(self, name: str = "axis", default: int = 0, *, rank: int) -> int:
        axis = int(self.node.attr(name, default))
        if not -rank <= axis <= rank:  # Flatten's may be the rank itself
            raise CannotFollow(f"it has no axis {axis}")
        return axis + rank if axis < 0 else axis

    # --- labels -------------------------------------------------------------------------------

    def labels(self, slot: int) -> ValueLabels:
        """Labels of an input without taking them; an absent or unknown one is all fixed."""
        return self.labels_of(self.node.inputs[slot])

    def labels_of(self, name: str) -> ValueLabels:
        values = self.store.values
        if name not in values:
            constant = self.graph.initializers.get(name)
            if constant is not None:
                # an axis of extent 1 cannot lose its only channel
                values[name] = tuple(self.store.fresh(n) if n > 1 else None for n in constant.shape)
            else:
                values[name] = (None,) * len(self.graph.shapes.get(name, ()))
        return values[name]

    def take(self, slot: int, axis: int) -> AxisLabels:
        if not self.has(slot):
            return None
        axis = axis + self.rank(slot) if axis < 0 else axis
        self._taken.add((slot, axis))
        labels = self.labels(slot)
        return labels[axis] if axis < len(labels) else None

    def take_all(self, slot: int) -> list[AxisLabels]:
        if not self.has(slot):
            return []
        self._taken.update((slot, axis) for axis in range(self.rank(slot)))
        return list(self.labels(slot))

    def put(self, labels: Sequence[AxisLabels], index: int = 0) -> None:
        """Label an output.

        Raises:
            CannotFollow: The labels are not those of its shape, so its node breaks ONNX's rules.
        """
        if index < len(self.node.outputs) and self.node.outputs[index]:
            name = self.node.outputs[index]
            shape = self.graph.shapes.get(name)
            if shape is not None and not fits(labels, shape):
                raise CannotFollow(f"its output {name!r} has the shape {list(shape)}")
            self.store.values[name] = tuple(self.wide(axis) for axis in labels)

    def wide(self, labels: AxisLabels) -> AxisLabels:
        """The labels; an axis with a single channel cannot lose it and becomes fixed."""
        if labels is None or len(labels) > 1:
            return labels
        self.freeze(labels, "it is the only channel")
        return None

    def fresh(self, count: int) -> Labels:
        if count > LONGEST_NEW_AXIS:  # axes of weights are bounded by the file, these by nothing
            raise CannotFollow(f"it makes an axis of {count} extents")
        return self.store.fresh(count)

    def couple(self, a: AxisLabels, b: AxisLabels) -> None:
        """Both live or die together; a fixed side freezes the other."""
        if a is None or b is None:
            free = a if b is None else b
            if free is not None:
                self.freeze(free, f"it meets {self.fixed_by() or 'an axis'}, which cannot change,")
        elif len(a) != len(b):
            raise CannotFollow(f"extents {len(a)} and {len(b)} do not fit each other")
        else:
            self.store.couple(a, b)

    def freeze(self, labels: AxisLabels, reason: str) -> None:
        self.store.freeze(labels, f"{reason} at {self.node}")

    def fixed_by(self) -> str:
        """What fixes an input of which nothing can change: a graph input, or a node; "" where none is."""
        found = (self.findings.fixed.get(name) for name in self.node.inputs)
        return next(filter(None, found), "")

    def frozen(self, count: int, reason: str) -> Labels:
        """Labels for `count` indices that must stay."""
        labels = self.fresh(count)
        self.freeze(labels, reason)
        return labels

    def inexact(self, labels: AxisLabels, reason: str) -> None:
        if labels is not None:
            self.store.inexact.append(Fact(labels, f"{reason} at {self.node}"))

    def produces(self, labels: AxisLabels) -> None:
        if labels is not None:
            self.store.produced.append(Fact(labels, self.node.name))

    def consumes(self, labels: AxisLabels) -> None:
        if labels is not None:
            self.store.consumed.append(Fact(labels, self.node.name))

    def contract(self, slot: int, axis: int) -> None:
        labels = self.take(slot, axis)
        if labels is not None:
            axis = axis + self.rank(slot) if axis < 0 else axis
            self.findings.cuts.append(Cut(Edge(self.node.index, slot), axis, labels))

    def choose(self, carriers: Sequence[Labels], default: int = 0) -> int:
        """Which of these label sets carries the channels; the analysis may try another one later."""
        key = self._choices
        self._choices += 1
        taken = self.options.choices.get((self.node.index, key), default)
        taken = taken if taken < len(carriers) else default
        choice = Choice(self.node.index, key, len(carriers), taken, carriers[taken])
        self.findings.choices.append(choice)
        return taken

    # --- cost and numbers that count channels ----------------------------------------------------

    def macs(self, fixed: int, *axes: tuple[str, int] | Labels) -> None:
        self.findings.macs.append(MacTerm(self.node.name, fixed, axes))

    def all_axes(self, name: str) -> list[tuple[str, int]]:
        return [(name, axis) for axis in range(len(self._shape_of(name)))]

    def bind(self, slot: int, index: int, labels: AxisLabels, *, sign: int = 1, extra: int = 0) -> None:
        self._shape_slots.add(slot)
        self.findings.bindings.append(Binding(self.node.index, slot, index, labels, sign, extra))

    def bind_attr(
        self, name: str, labels: AxisLabels, *, index: int = -1, sign: int = 1, extra: int = 0
    ) -> None:
        """`index` -1: the attribute is one integer, not a list."""
        self.findings.bindings.append(Binding(self.node.index, name, index, labels, sign, extra))

    def bind_ints(
        self, place: tuple[str, int], index: int, labels: AxisLabels, *, sign: int = 1, extra: int = 0
    ) -> None:
        """As `bind`, for integers that are an attribute in some opsets and an input (slot) in others."""
        name, slot = place
        if name in self.node.attributes:
            self.bind_attr(name, labels, index=index, sign=sign, extra=extra)
        else:
            self.bind(slot, index, labels, sign=sign, extra=extra)

    def supply(self, place: int | str, parts: Sequence[Labels], *, drop_attribute: str = "") -> None:
        self.findings.supplies.append(Supply(self.node.index, place, tuple(parts), drop_attribute))

    def pin(self, name: str, value: float, labels: AxisLabels) -> None:
        """Write the attribute with the value that it has by default now, once these labels go."""
        if labels is not None:
            self.findings.pins.append(Pin(self.node.index, name, value, labels))

    def reindex(self, slot: int, labels: Labels, *, axis: int = 0) -> None:
        self._shape_slots.add(slot)
        self.findings.reindexes.append(Reindex(self.node.index, slot, labels, axis))

    def may_change(self, slot: int, index: int) -> bool:
        """Whether the integer at `index` of an input stands in the file or follows from channels."""
        origins = self.host.origins(Edge(self.node.index, slot), self.name(slot))
        origin = origins[index] if index < len(origins) else None
        axes = [(self.store.values.get(e.value, ()), e.axis) for e in extents_of(origin)]
        follows = any(labels[axis] is not None for labels, axis in axes if axis < len(labels))
        return follows or scale_of(origin) is not None

    # --- after the coupling function ---------------------------------------------------------------

    def freeze_all(self, reason: str) -> None:
        """Nothing that touches this node may change."""
        self.findings.stopped[self.node.name] = reason
        for slot in range(len(self.node.inputs)):
            if self.has(slot):
                for labels in self.labels(slot):
                    self.freeze(labels, reason)
        for output in self.node.outputs:
            if output:
                for labels in self.store.values.get(output, ()):
                    self.freeze(labels, reason)
                self.store.values[output] = (None,) * len(self.graph.shapes.get(output, ()))

    def freeze_leftovers(self) -> None:
        """What the coupling function did not take has a meaning that it did not state."""
        for slot in range(len(self.node.inputs)):
            if not self.has(slot):
                continue
            numbers = slot in self._shape_slots or slot in self._const_slots
            for axis, labels in enumerate(self.labels(slot)):
                if labels is not None and (numbers or (slot, axis) not in self._taken):
                    self.freeze(labels, f"axis {axis} of input {slot} has a fixed meaning")
            if self.host.value(self.name(slot)) is not None:
                self.findings.reads.append(Edge(self.node.index, slot))
        for output in self.node.outputs:
            if output and output not in self.store.values:
                if self.is_read(output) and any(n > 1 for n in self.graph.shapes.get(output, (2,))):
                    self.freeze_all(f"its output {output!r} cannot be followed")
                self.store.values[output] = (None,) * len(self.graph.shapes.get(output, ()))

    def is_read(self, name: str) -> bool:
        return name in self.graph.consumers or any(output.name == name for output in self.graph.outputs)


CouplingFunction = Callable[[NodeContext], None]
