"""Every network exports by both exporters, and the file computes what torch computes."""

from itertools import product
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from onnxprune.errors import VerificationError
from onnxprune.models.export import check_export, export_onnx, main
from onnxprune.models.zoo import NETWORKS
from tests.exported import EXPORTERS, FAST, build, example_input, export_case

# The others take seconds each by dynamo.
OFTEN = {*product(["resnet20", "resnet20_b"], FAST), *product(["resnet20"], EXPORTERS)}
EVERY = [
    pytest.param(name, exporter, marks=[] if (name, exporter) in OFTEN else pytest.mark.slow)
    for name in sorted(NETWORKS)
    for exporter in EXPORTERS
]


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize(("name", "exporter"), EVERY)
def test_the_file_gives_the_outputs_of_torch(name: str, exporter: str, exported_folder: Path) -> None:
    path = export_case(name, exporter, exported_folder)
    check_export(build(name), path, example=example_input(name, batch=5, seed=1))


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_file_is_whole_dynamic_in_its_batch_and_within_what_onnxruntime_reads(
    exporter: str, exported_folder: Path
) -> None:
    path = export_case("resnet20", exporter, exported_folder)
    model = onnx.load(path, load_external_data=False)
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    assert [(i.domain, i.version in (17, 18)) for i in model.opset_import] == [("", True)]
    assert model.ir_version <= 10
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("input", ["batch", 3, 32, 32])
    assert (made.name, made.shape) == ("logits", ["batch", 10])


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_batch_normalization_is_folded_or_kept(exporter: str, exported_folder: Path) -> None:
    folded = operators(export_case("resnet20", exporter, exported_folder))
    kept = operators(export_case("resnet20", f"{exporter}_bn", exported_folder))
    assert folded.count("BatchNormalization") == 0
    assert kept.count("BatchNormalization") == 19
    assert folded.count("Conv") == kept.count("Conv") == 19


@pytest.mark.parametrize("exporter", ["dynamo", "dynamo_bn", "torchscript", "torchscript_bn"])
def test_no_path_of_the_exporting_machine_is_in_the_file(exporter: str, exported_folder: Path) -> None:
    content = export_case("resnet20", exporter, exported_folder).read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"resnet.py" not in content


def test_a_file_that_computes_something_else_is_refused(exported_folder: Path) -> None:
    path = export_case("resnet20", "torchscript", exported_folder)
    with pytest.raises(VerificationError, match="differ from torch's"):
        check_export(NETWORKS["resnet20"](), path, example=example_input("resnet20"))


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError(x.shape)

    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ArithmeticError):
        export_onnx(Broken(), path, example=torch.zeros(2, 3, 4, 4))
    assert path.read_bytes() == b"old"


def test_the_command_exports_trained_weights(tmp_path: Path) -> None:
    model = build("resnet20")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    out = tmp_path / "resnet20.onnx"
    arguments = ["resnet20", "--weights", str(tmp_path / "weights.pt"), "--out", str(out), "--bn", "kept"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "BatchNormalization" in operators(out)
    check_export(model, out, example=example_input("resnet20"))
