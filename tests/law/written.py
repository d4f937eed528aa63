"""What holds of a pruned file without running it: valid, as large as promised, otherwise as before."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.cost import CostModel
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.pruning import prune


def check_masks(groups: Groups, masks: Masks) -> None:
    """The pruned file: valid, as large as promised, cut where promised, otherwise as before."""
    pruned = prune(groups, masks)
    check_valid(groups.graph.model, pruned)
    path = groups.graph.path.with_name(f".{groups.graph.path.stem}-pruned.onnx")
    onnx.save(pruned, path)
    assumed = groups.graph.assumed
    again = load_graph(path, shapes=assumed)
    check_extents(groups, masks, again)
    promised, recount = CostModel(groups).count(masks), CostModel(find_groups(again)).count({})
    assert recount == promised, f"cost {recount}, promised {promised}"
    check_weights(groups, masks, again)
    check_rest(groups.graph.model, pruned)
    path.unlink()


def check_valid(original: ModelProto, pruned: ModelProto) -> None:
    """onnx's checker accepts the pruned model if it accepts the original."""
    try:
        onnx.checker.check_model(original, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return
    onnx.checker.check_model(pruned, full_check=True)


def check_extents(groups: Groups, masks: Masks, again: Graph) -> None:
    """Every value that both graphs know has the extents that the labels promise."""
    keep = groups.keep_labels(masks)
    for name, shape in groups.graph.shapes.items():
        constant = groups.graph.initializers.get(name)
        if name not in again.shapes or (constant is not None and constant.dtype.kind in "iu"):
            continue
        labels = groups.axis_labels(name) or (None,) * len(shape)
        promised = tuple(
            n if of_axis is None else int(keep[of_axis].sum())
            for n, of_axis in zip(shape, labels, strict=True)
        )
        if any(of_axis is not None for of_axis in labels) or name not in groups.host.found:
            assert again.shapes[name] == promised, f"{name}: {shape}, {promised} was promised"


def check_weights(groups: Groups, masks: Masks, again: Graph) -> None:
    """Weights lose the members of removed channels and are otherwise bit-identical."""
    gone: dict[str, dict[int, NDArray[np.int64]]] = {}
    for group in groups.prunable:
        for member in group.members:
            axes = gone.setdefault(member.tensor, {})
            places = member.positions[~masks[group.name]].reshape(-1) if group.name in masks else no_places()
            axes[member.axis] = np.concatenate([axes.get(member.axis, no_places()), places])
    for name, constant in groups.graph.initializers.items():
        assert name in again.initializers, f"{name} is gone"
        if constant.dtype.kind in "iu" and name not in gone:  # shape constants; checked by running
            continue
        expected = constant.array()
        for axis, places in gone.get(name, {}).items():
            expected = np.delete(expected, places, axis)
        found = again.initializers[name]
        assert found.proto.data_type == constant.proto.data_type
        assert found.array().tobytes() == np.ascontiguousarray(expected).tobytes(), f"{name} changed"


def no_places() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def check_rest(original: ModelProto, pruned: ModelProto) -> None:
    """Nothing but weights, numbers and declared inner shapes differs."""
    for name in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(pruned, name) == getattr(original, name)
    for name in ("opset_import", "metadata_props", "functions", "training_info"):
        assert list(getattr(pruned, name)) == list(getattr(original, name))
    a, b = original.graph, pruned.graph
    constants = {t.name for t in a.initializer}
    assert (a.name, a.doc_string, list(a.metadata_props)) == (b.name, b.doc_string, list(b.metadata_props))
    assert list(a.output) == list(b.output)
    assert [i for i in a.input if i.name not in constants] == [i for i in b.input if i.name not in constants]
    assert [identity(n) for n in a.node] == [identity(n) for n in b.node]
    assert [identity(t) for t in a.initializer] == [identity(t) for t in b.initializer][: len(a.initializer)]
    assert [identity(v) for v in a.value_info] == [identity(v) for v in b.value_info]


def identity(item: object) -> list[object]:
    fields = ("name", "op_type", "domain", "overload", "doc_string", "output", "metadata_props", "data_type")
    return [str(getattr(item, name, None)) for name in fields]
