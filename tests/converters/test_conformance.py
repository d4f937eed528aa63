"""The backend suite of the installed onnx: each operator at its newest version, and old exports of torch."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.backend.test.loader import load_model_tests, load_node_model_tests
from onnx.backend.test.runner import Runner

from onnxprune.converters.conformance import convert

# numpy's generator draws other numbers than torch's
RANDOM = {f"test_bernoulli{kind}{form}" for kind in ("", "_double", "_seed") for form in ("", "_expanded")}
ROUNDING = {  # in the last place of float16, and near zero beside values of 1
    "test_attention_4d_fp16",
    "test_attention_4d_causal_fp16",
    "test_attention_4d_causal_fp16_expanded",
    "test_dft_inverse",
    "test_dft_inverse_opset19",
}


def plain(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def flat(values: Iterable[Any]) -> list[Any]:
    """Tensors, those in sequences included: onnx's own comparison fails on sequences of scalars."""
    return [item for v in values for item in (flat(v) if isinstance(v, list) else [plain(v)])]


def fault(case: Case, model: onnx.ModelProto, data: Any) -> str:
    """What is wrong with one case; "" where nothing is."""
    try:
        for inputs, wanted in data:
            outputs = convert(model)(*map(plain, inputs))
            Runner.assert_similar_outputs(flat(wanted), flat(outputs.values()), case.rtol, case.atol)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the finding
        return f"{type(error).__name__}: {error}"
    return ""


def stored(folder: Path) -> Iterator[tuple[list[Any], list[Any]]]:
    for data in sorted(folder.glob("test_data_set_*")):
        files = (sorted(data.glob(f"{kind}_*.pb")) for kind in ("input", "output"))
        yield tuple([TensorProto.FromString(f.read_bytes()) for f in part] for part in files)


@pytest.mark.filterwarnings("ignore")
def test_every_operator_gives_what_onnx_says() -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        cases = load_node_model_tests()
        faults = {case.name: fault(case, case.model, case.data_sets) for case in cases}
    assert len(faults) > 1500
    wrong = {name: note for name, note in faults.items() if note and name not in RANDOM | ROUNDING}
    assert wrong == {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["pytorch-converted", "pytorch-operator"])
def test_old_exports_of_torch_give_what_torch_gave(kind: str) -> None:
    cases = load_model_tests(kind=kind)
    folders = [Path(case.model_dir) for case in cases]
    models = [onnx.load(folder / "model.onnx") for folder in folders]
    faults = {c.name: fault(c, m, stored(f)) for c, m, f in zip(cases, models, folders, strict=True)}
    assert {name: note for name, note in faults.items() if note} == {}
    assert len(faults) > 30
