"""Every operator of ONNX is known, or frozen by decision: no operator is in neither table, none in both."""

from pathlib import Path

import onnx
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.operators.frozen import FROZEN_BY_DESIGN
from onnxprune.operators.slots import QUANTISED
from onnxprune.operators.table import COUPLING
from tests.law.build import model, save
from tests.law.check import reasons

OLDEST = 7


def current_operators() -> list[str]:
    """The operators of the default domain that a model of opset 7 or newer may have."""
    versions: dict[str, list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            versions.setdefault(schema.name, []).append(schema)
    return sorted(name for name, schemas in versions.items() if lives_on(schemas))


def lives_on(schemas: list[onnx.defs.OpSchema]) -> bool:
    """Whether some version is valid in an opset from the oldest on."""
    ends = sorted(schema.since_version for schema in schemas)
    for schema in schemas:
        following = next((v for v in ends if v > schema.since_version), None)
        if not schema.deprecated and (following is None or following > OLDEST):
            return True
    return False


@pytest.mark.parametrize("name", current_operators())
def test_an_operator_is_known_or_frozen_by_decision(name: str) -> None:
    known, frozen = ("", name) in COUPLING, ("", name) in FROZEN_BY_DESIGN
    assert known != frozen, f"{name} is in {'both tables' if known else 'no table'}"


def test_the_tables_name_operators_that_exist() -> None:
    there = {(s.domain, s.name) for s in onnx.defs.get_all_schemas_with_history()}
    there |= {(s.domain, s.name) for s in runtime.get_all_operator_schema()}
    assert not COUPLING.keys() - there
    assert not FROZEN_BY_DESIGN.keys() - there


def test_a_table_has_an_operator_once() -> None:
    assert not COUPLING.keys() & FROZEN_BY_DESIGN.keys()


def test_quantised_operators_that_are_described_are_known() -> None:
    assert not QUANTISED.keys() - COUPLING.keys()


def test_a_frozen_operator_gives_its_reason(tmp_path: Path) -> None:
    made = model(
        "float[1,3,4,4] x => float[1,5,4,4] y",
        "a = Conv(x, w1)\nb = LRN<size=3>(a)\ny = Conv(b, w2)",
        w1=(6, 3, 1, 1),
        w2=(5, 6, 1, 1),
    )
    groups = find_groups(load_graph(save(made, tmp_path)))
    assert reasons(groups)["w1.0"] == "its sums run over neighbouring channels at b (LRN)"


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    made = model(
        "float[1,3] x => float[1,5] y",
        "a = MatMul(x, w1)\nb = local.Mystery(a)\ny = MatMul(b, w2)",
        w1=(3, 6),
        w2=(6, 5),
    )
    groups = find_groups(load_graph(save(made, tmp_path)))
    assert reasons(groups)["w1.1"] == "operator local::Mystery is not known at b (Mystery)"
