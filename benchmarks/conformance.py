"""The backend suite of an onnx release: cases that the round trip and ONNX Runtime pass.

    python -m benchmarks.conformance [--suite onnx-1.8.1/onnx/backend/test/data]

Without --suite the installed onnx's, each operator at its newest version. The wheel of an older release,
unzipped, holds the versions of operators that deployed models use.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, OptionalProto, SequenceProto, TensorProto, TypeProto, numpy_helper
from onnx.backend.test.loader import load_node_model_tests
from onnx.backend.test.runner import Runner

from onnxprune.converters.conformance import convert

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
INSTALLED = Path(onnx.__file__).parent / "backend" / "test" / "data"
Call = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Case:
    name: str
    model: ModelProto
    data: Sequence[tuple[Sequence[Any], Sequence[Any]]]  # inputs, outputs
    rtol: float
    atol: float


def installed_nodes() -> Iterator[Case]:
    for case in load_node_model_tests():
        assert case.model is not None
        assert case.data_sets is not None
        data = [([plain(v) for v in given], [plain(v) for v in wanted]) for given, wanted in case.data_sets]
        yield Case(case.name, case.model, data, case.rtol, case.atol)


def stored(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*/model.onnx")):
        model = onnx.load(path)
        data = [
            (read(files, "input", model.graph.input), read(files, "output", model.graph.output))
            for files in sorted(path.parent.glob("test_data_set_*"))
        ]
        yield Case(path.parent.name, model, data, 1e-3, 1e-7)


def read(folder: Path, kind: str, infos: Sequence[onnx.ValueInfoProto]) -> list[Any]:
    count = len(list(folder.glob(f"{kind}_*.pb")))
    return [value_of((folder / f"{kind}_{i}.pb").read_bytes(), infos[i].type) for i in range(count)]


def value_of(content: bytes, type_: TypeProto) -> Any:
    match type_.WhichOneof("value"):
        case "sequence_type":
            return numpy_helper.to_list(SequenceProto.FromString(content))
        case "optional_type":
            return numpy_helper.to_optional(OptionalProto.FromString(content))
    return numpy_helper.to_array(TensorProto.FromString(content))


def plain(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def by_round_trip(model: ModelProto) -> Call:
    call = convert(model)
    return lambda *inputs: list(call(*inputs).values())


def by_onnxruntime(model: ModelProto) -> Call:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def flat(values: Sequence[Any]) -> list[Any]:
    return [item for v in values for item in (flat(v) if isinstance(v, list) else [v])]


def passes(case: Case, make: Callable[[ModelProto], Call]) -> bool:
    try:
        for inputs, wanted in case.data:
            found = make(case.model)(*inputs)
            Runner.assert_similar_outputs(flat(wanted), flat(found), case.rtol, case.atol)
    except Exception:
        return False
    return True


@click.command()
@click.option("--suite", type=click.Path(path_type=Path, exists=True), default=INSTALLED)
def main(suite: Path) -> None:
    """Cases, those that ours passes, those that ONNX Runtime passes, and ours of ONNX Runtime's."""
    warnings.simplefilter("ignore")
    for kind in KINDS:
        newest = kind == "node" and not (suite / "node").is_dir()
        with np.errstate(all="ignore"):
            cases = list(installed_nodes() if newest else stored(suite / kind))
            pairs = [(passes(case, by_round_trip), passes(case, by_onnxruntime)) for case in cases]
        ours, theirs = (sum(pair[i] for pair in pairs) for i in (0, 1))
        print(f"{kind:18} {len(cases):5} {ours:5} {theirs:5} {sum(a and b for a, b in pairs):5}", flush=True)


if __name__ == "__main__":
    main()
