"""Every weighted node is in a group or has a reason, and reasons name the cause, not its echo."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.groups import find_groups
from onnxprune.groups.explain import Place, explain
from onnxprune.groups.restrict import restrict
from onnxprune.onnx_file import load_graph
from tests.law.build import Weight, model, save
from tests.onnx_file.small_models import BUILDERS

IMAGE = "float[N,3,8,8] x => float[N,5,8,8] y"
WEIGHTS: dict[str, Weight] = {"a": (8, 3, 1, 1), "b": (8, 8, 1, 1), "c": (5, 8, 1, 1)}


def places(folder: Path, signature: str, body: str, **weights: Weight) -> dict[str, Place]:
    groups = find_groups(load_graph(save(model(signature, body, **weights), folder)))
    return {place.node.name: place for place in explain(groups)}


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_every_weighted_node_is_in_a_group_or_has_a_reason(build: object, tmp_path: Path) -> None:
    made = build(np.random.default_rng(0))  # type: ignore[operator]
    groups = find_groups(load_graph(save(made, tmp_path)))
    found = explain(groups)
    assert [p for p in found if not (p.produces or p.reads or p.reason)] == []
    frozen = {group.name for group in groups if group.frozen}
    for place in found:
        assert bool(place.reason) == ({*place.produces, *place.reads} <= frozen)


def test_a_chain_tells_what_each_node_reads_and_produces(tmp_path: Path) -> None:
    found = places(
        tmp_path, IMAGE, "p = Conv(x, a)\nq = Relu(p)\ny = Conv(q, c)", a=(8, 3, 1, 1), c=(5, 8, 1, 1)
    )
    (between,) = found["p"].produces
    assert found["y"].reads == (between,)
    assert found["p"].reason == found["y"].reason == ""


def test_the_graph_input_is_named_through_what_passes_it_on(tmp_path: Path) -> None:
    body = "h = Mul(x, two)\ni = Relu(h)\np = Conv(i, a)\ny = Conv(p, c)"
    weights: dict[str, Weight] = {"two": np.array(2, np.float32), "a": (8, 3, 1, 1), "c": (5, 8, 1, 1)}
    groups = find_groups(load_graph(save(model(IMAGE, body, **weights), tmp_path)))
    reasons = [group.frozen for group in groups if group.frozen]
    assert reasons == [
        "it meets the graph input 'x', which cannot change, at p (Conv)",
        "its channels are the graph output 'y'",
    ]


def test_an_unknown_operator_is_named_as_the_cause_downstream(tmp_path: Path) -> None:
    body = "p = Conv(x, a)\nq = local.Strange(p)\nr = Conv(q, b)\ns = Relu(r)\ny = Conv(s, c)"
    signature = "float[N,3,8,8] x => float[N,5,8,8] y"
    groups = find_groups(load_graph(save(model(signature, body, **WEIGHTS), tmp_path)))
    reasons = [group.frozen or "" for group in groups]
    assert any("operator local::Strange is not known at q (Strange)" in reason for reason in reasons)
    assert not any("an axis" in reason for reason in reasons)


def test_a_node_left_alone_tells_by_which_pattern(tmp_path: Path) -> None:
    path = save(model(IMAGE, "p = Conv(x, a)\nq = Conv(p, b)\ny = Conv(q, c)", **WEIGHTS), tmp_path)
    groups = restrict(find_groups(load_graph(path)), skip=["^p$"])
    first, second, _ = explain(groups)
    assert "--skip '^p$'" in first.reason
    assert second.reason == ""
