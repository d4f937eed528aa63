"""Reading: whatever the file is, a checked model or the right row of the error catalogue."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxprune.errors import ModelError, RuntimeProblem
from onnxprune.onnx_file import external, reading, versions, wire
from onnxprune.onnx_file.reading import read_model
from onnxprune.onnx_file.tensors import fault_of, tensors
from tests.onnx_file.small_models import BUILDERS, chain, nested, save_external, wide


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def safetensors() -> bytes:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


FOREIGN = {
    "PNG": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "pass the model"),
    "JPEG": (b"\xff\xd8\xff\xe0" + b"\0" * 40, "pass the model"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "tf2onnx"),
    "TFLite": (b"\x1c\0\0\0TFL3" + b"\0" * 40, "--tflite"),
    ".ort": (b"\x1c\0\0\0ORTM" + b"\0" * 40, ".onnx"),
    "TensorRT": (b"ftrt" + b"\0" * 40, ".onnx"),
    "gzip": (b"\x1f\x8b\x08" + b"\0" * 40, "gunzip"),
    "tar archive": (b"model.onnx".ljust(257, b"\0") + b"ustar\0" + b"\0" * 200, "tar -xf"),
    "GGUF": (b"GGUF" + b"\0" * 40, "export"),
    ".npy": (b"\x93NUMPY\x01\0" + b"\0" * 40, "--data"),
    "torch checkpoint": (zipped("archive/data.pkl", "archive/data/0"), "torch.onnx.export"),
    "TorchScript": (zipped("a/data.pkl", "a/constants.pkl"), "torch.onnx.export"),
    "torch.export archive": (zipped("m/archive_format"), "torch.export.load"),
    "Keras": (zipped("config.json", "model.weights.h5"), "tf2onnx"),
    ".npz": (zipped("x.npy"), "--data"),
    "with a model in it": (zipped("deep/m.onnx"), "unpack"),
    "a zip archive": (zipped("readme.txt"), "unpack"),
    "damaged zip": (zipped("m.onnx")[:-10], "again"),
    "pickle": (b"\x80\x02}q\x00(X\x05\x00\x00\x00stateq\x01.", "torch.onnx.export"),
    "safetensors": (safetensors(), "export"),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "git lfs pull",
    ),
    "HTML": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "raw file"),
    "XML": (b"<?xml version='1.0'?><net name='m'></net>", ".onnx"),
    "JSON text": (b'{"a": 1}', ".onnx"),
    "ONNX as JSON": (b'{"irVersion": "8", "graph": {}}', "format='json'"),
    "ONNX as text": (b'<\n  ir_version: 8,\n  opset_import: ["" : 17]\n>\ng () => () {}', "format='onnxtxt'"),
    "protobuf text": (b"ir_version: 8\ngraph {\n}\n", "format='textproto'"),
    "is text": ("Blühende Modelle\n".encode() * 9, ".onnx"),
    "UTF-16": ("import onnx".encode("utf-16"), ".onnx"),
    "zero bytes": (b"\0" * 100, "fetch"),
    "another protobuf": (b"\x0a\x04name\x10\x01", "tf2onnx"),
    "unknown kind": (bytes(range(250, 127, -1)), "export"),
}


def error_of(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    return caught.value


def written(folder: Path, model: ModelProto | bytes, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


@pytest.fixture
def model() -> ModelProto:
    return chain(np.random.default_rng(0))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_model_is_read_as_it_was_written(build, tmp_path):
    model = build(np.random.default_rng(0))
    assert read_model(written(tmp_path, model)) == model


def test_a_model_of_several_runs_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("onnxprune.onnx_file.wire.RUN_BYTES", 100)
    monkeypatch.setattr("onnxprune.onnx_file.wire.WINDOW_BYTES", 24)
    model = wide(np.random.default_rng(0), 5, 8)
    assert read_model(written(tmp_path, model)) == model


def test_fields_of_a_newer_onnx_are_kept(model, tmp_path):
    newer = model.SerializeToString() + b"\xa2\x06\x03new"  # field 100
    assert read_model(written(tmp_path, newer)).SerializeToString() == newer


def test_reading_a_usual_model_does_not_import_onnxruntime(model, tmp_path):
    path = written(tmp_path, model)
    script = (
        "import sys, pathlib; from onnxprune.onnx_file.reading import read_model; "
        f"read_model(pathlib.Path({str(path)!r})); sys.exit('onnxruntime' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 0


def test_e301_names_a_missing_file_and_the_closest_one(model, tmp_path):
    written(tmp_path, model, "resnet.onnx")
    error = error_of(tmp_path / "resnt.onnx")
    assert (error.code, "does not exist" in error.message) == ("E301", True)
    assert "resnet.onnx" in error.hint


@pytest.mark.parametrize("name", ["m.onnx/inner.onnx", "no/folder/m.onnx", "a\0b", "n" * 300])
def test_e301_is_said_of_every_path_that_cannot_be(name, model, tmp_path):
    written(tmp_path, model)
    assert error_of(tmp_path / name).code == "E301"


def test_e301_says_where_a_dead_link_leads(tmp_path):
    (tmp_path / "m.onnx").symlink_to("gone.onnx")
    error = error_of(tmp_path / "m.onnx")
    assert error.code == "E301"
    assert "gone.onnx" in error.message


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_e301_says_why_a_file_cannot_be_read(model, tmp_path):
    path = written(tmp_path, model)
    path.chmod(0)
    assert "denied" in error_of(path).cause


def test_e302_an_empty_file(tmp_path):
    error = error_of(written(tmp_path, b""))
    assert (error.code, error.message) == ("E302", "m.onnx is empty (0 bytes)")


@pytest.mark.parametrize("kind", FOREIGN)
def test_e303_says_what_the_file_is_instead(kind, tmp_path):
    content, hint = FOREIGN[kind]
    error = error_of(written(tmp_path, content))
    assert error.code == "E303"
    assert kind in error.message
    assert hint in error.hint


def test_e303_recognises_a_real_torch_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.onnx"
    torch.save({"w": torch.zeros(2)}, path)
    assert "torch checkpoint" in error_of(path).message


def test_e303_a_folder_hints_at_the_model_in_it(model, tmp_path):
    written(tmp_path, model)
    error = error_of(tmp_path)
    assert error.code == "E303"
    assert "m.onnx" in error.hint


def test_e303_a_saved_model_folder(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert "SavedModel" in error_of(tmp_path).message


def test_e303_a_device_is_no_model():
    assert error_of(Path(os.devnull)).code == "E303"


def test_a_signature_in_front_does_not_hide_a_valid_model(model, tmp_path):
    """The signature of RAR as field 10, which no ONNX knows: valid protobuf, so a model."""
    odd = b"Rar!\x1a\x07" + bytes(93)
    assert read_model(written(tmp_path, odd + model.SerializeToString())).graph == model.graph


def test_e304_names_the_byte_and_the_field_in_which_a_file_ends(model, tmp_path):
    whole = model.SerializeToString()
    cut = whole.index(b"fc_w", whole.index(model.graph.initializer[0].raw_data)) + 30
    error = error_of(written(tmp_path, whole[:cut]))
    assert error.code == "E304"
    assert f"ends inside a field at byte {cut:,}".replace(",", " ") in error.message
    assert "graph.initializer[7]" in error.cause


@pytest.mark.parametrize("keep", [5, 8, 0.3, 0.99])
def test_e304_every_truncation_is_told_from_a_foreign_file(keep, model, tmp_path):
    whole = model.SerializeToString()
    count = keep if isinstance(keep, int) else int(keep * len(whole))
    assert error_of(written(tmp_path, whole[:count])).code == "E304"


def test_e304_a_file_cut_between_two_fields_misses_its_opset(model, tmp_path):
    opset = model.opset_import[0].SerializeToString()
    whole = model.SerializeToString()
    at = whole.rindex(b"\x42" + bytes([len(opset)]) + opset)
    error = error_of(written(tmp_path, whole[:at]))
    assert error.code == "E304"
    assert "opset" in error.message


def test_e304_a_field_that_leaves_the_graph_is_damage_and_no_truncation(model, tmp_path):
    whole = bytearray(model.SerializeToString())
    at = whole.index(model.graph.initializer[0].SerializeToString())
    whole[at - 2 : at] = b"\xff\x7f"  # its length: more than the graph has left, and the file too
    error = error_of(written(tmp_path, bytes(whole)))
    assert error.code == "E304"
    assert f"damaged at byte {at - 3}" in error.message


def test_e304_text_that_is_no_utf_8(model, tmp_path):
    broken = model.SerializeToString().replace(b"conv2_w", b"conv\xff_w")
    error = error_of(written(tmp_path, broken))
    assert error.code == "E304"
    assert "NodeProto.input" in error.message


def test_e304_no_ir_version(model, tmp_path):
    model.ClearField("ir_version")
    assert "IR version" in error_of(written(tmp_path, model)).message


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("data_type", 65, "data type 65 is unknown"),
        ("data_type", TensorProto.DOUBLE, "needs 1728"),
        ("raw_data", b"abc", "3 bytes"),
        ("dims", [-8, 3], "negative"),
        ("dims", [8, 3, 3], "needs 288"),
    ],
)
def test_e304_a_tensor_without_the_values_of_its_shape(field, value, reason, model, tmp_path):
    tensor = model.graph.initializer[0]
    if field == "dims":
        tensor.dims[:] = value
    else:
        setattr(tensor, field, value)
    error = error_of(written(tmp_path, model))
    assert error.code == "E304"
    assert reason in error.message
    assert "'conv_w'" in error.message


@pytest.mark.parametrize("data_type", TensorProto.DataType.values()[1:])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_tensors_of_every_type_and_form_have_their_values(data_type, count):
    values = [b"a"] * count if data_type == TensorProto.STRING else [1] * count
    typed = helper.make_tensor("t", data_type, [count], values)
    assert not fault_of(typed)
    if data_type != TensorProto.STRING:
        assert not fault_of(numpy_helper.from_array(numpy_helper.to_array(typed)))


def test_e305_no_graph(model, tmp_path):
    model.ClearField("graph")
    error = error_of(written(tmp_path, model))
    assert error.code == "E305"
    assert "contains no graph" in error.message


def test_e305_a_graph_without_nodes(model, tmp_path):
    del model.graph.node[:]
    error = error_of(written(tmp_path, model))
    assert error.code == "E305"
    assert "without nodes" in error.message


@pytest.fixture(params=["one_file", "many_files"])
def outside(request, model, tmp_path):
    """A model in a folder `in/`, its weights in one file or in one for each tensor."""
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "m.onnx"
    save_external(model, path, one_file=request.param == "one_file")
    return path


def relocate(path: Path, **entries: str) -> None:
    """Change the reference of the last initializer."""
    model = onnx.load(path, load_external_data=False)
    tensor = model.graph.initializer[-1]
    found = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in found.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_external_data_is_not_loaded(outside):
    model = read_model(outside)
    assert all(t.data_location == TensorProto.EXTERNAL and not t.raw_data for t in model.graph.initializer)


def test_e306_a_missing_weights_file_names_its_tensors(outside):
    for file in outside.parent.iterdir():
        if file != outside:
            file.unlink()
    error = error_of(outside)
    assert error.code == "E306"
    assert "not found next to the model; copy it too" in error.message
    assert "conv_w" in error.message


def test_e306_the_message_of_the_catalogue(tmp_path, model):
    save_external(model, tmp_path / "m.onnx", one_file=True)
    (tmp_path / "m.onnx.data").unlink()
    wanted = "weights file 'm.onnx.data' (needed by 9 tensors, first 'conv_w') not found"
    assert wanted in error_of(tmp_path / "m.onnx").message


def test_e306_a_weights_file_that_is_too_short(outside):
    file = max((f for f in outside.parent.iterdir() if f != outside), key=lambda f: f.stat().st_size)
    os.truncate(file, file.stat().st_size - 1)
    assert "too short" in error_of(outside).message


@pytest.mark.parametrize(
    "location",
    [
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "..\\secret",
        "C:\\secret",
        "C:secret",
        "\\\\host\\x",
        "a\0b",
        "",
    ],
)
def test_e306_refuses_a_location_outside_the_folder(location, outside):
    (outside.parent.parent / "secret").write_bytes(bytes(1000))
    relocate(outside, location=location)
    assert error_of(outside).code == "E306"


def test_e306_refuses_a_link_out_of_the_folder(outside):
    secret = outside.parent.parent / "secret"
    secret.write_bytes(bytes(1000))
    (outside.parent / "linked").symlink_to(secret)
    relocate(outside, location="linked", offset="0")
    error = error_of(outside)
    assert error.code == "E306"
    assert "outside the model's folder" in error.message


@pytest.mark.parametrize("location", [".", "loop", "n" * 300])
def test_e306_a_location_that_is_no_file(location, outside):
    (outside.parent / "loop").symlink_to("loop")
    relocate(outside, location=location)
    assert error_of(outside).code == "E306"


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "x"},
        {"length": "3"},
        {"length": "9" * 30},
        {"offset": "99999999"},
        {"offset": "٣"},
    ],
)
def test_e306_numbers_that_cannot_be(entries, outside):
    relocate(outside, **entries)
    assert error_of(outside).code == "E306"


def test_a_model_and_weights_that_a_download_cache_links_are_read(tmp_path, model):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_external(model, blobs / "m.onnx", one_file=True)
    (blobs / "m.onnx").rename(blobs / "abc")
    (blobs / "m.onnx.data").rename(blobs / "def")
    (snapshot / "m.onnx").symlink_to(blobs / "abc")
    (snapshot / "m.onnx.data").symlink_to(blobs / "def")
    assert len(read_model(snapshot / "m.onnx").graph.initializer) == 9


def test_e306_looks_into_subgraphs_functions_and_attributes(tmp_path):
    """A tensor whose weights file is missing is found wherever it lies."""
    for index in range(len(list(tensors(nested(np.random.default_rng(0)))))):
        model = nested(np.random.default_rng(0))
        tensor = list(tensors(model))[index]
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="gone.bin")
        assert "gone.bin" in error_of(written(tmp_path, model)).message


def test_e307_an_ir_that_onnxruntime_does_not_read(model, tmp_path):
    model.ir_version = 99
    error = error_of(written(tmp_path, model))
    assert error.code == "E307"
    assert "IR 99 is newer than onnxruntime" in error.message


@pytest.mark.parametrize("what", ["IR", "opset"])
def test_the_newest_version_that_onnxruntime_reads_is_read_and_no_newer(what, model, tmp_path):
    newest = versions.newest_readable(what).version

    def stamped(version: int) -> Path:
        if what == "IR":
            model.ir_version = version
        else:
            model.opset_import[0].version = version
        return written(tmp_path, model)

    assert read_model(stamped(newest)) == model
    assert error_of(stamped(newest + 1)).code == ("E307" if what == "IR" else "E308")


@pytest.mark.parametrize("version", [-1, 0, 1, 6])
def test_e308_an_opset_that_is_too_old_hints_at_the_converter(version, model, tmp_path):
    model.opset_import[0].version = version
    error = error_of(written(tmp_path, model))
    assert error.code == "E308"
    assert "version_converter" in error.hint


def test_a_model_of_other_domains_alone_needs_no_default_opset(model, tmp_path):
    for node in model.graph.node:
        node.domain = "my.ops"
    model.opset_import[0].domain = "my.ops"
    assert read_model(written(tmp_path, model)) == model


def test_e310_a_file_beyond_what_protobuf_holds(model, tmp_path, monkeypatch):
    path = written(tmp_path, model)
    monkeypatch.setattr(reading, "PROTOBUF_LIMIT", 1000)
    error = error_of(path)
    assert error.code == "E310"
    assert "external data" in error.hint


def test_a_huge_foreign_file_is_recognised_without_reading_it(tmp_path):
    path = written(tmp_path, zipped("a.txt"))
    with path.open("r+b") as file:
        file.truncate(5 << 30)  # sparse
    assert error_of(path).code == "E303"


@pytest.mark.parametrize("one_file", [True, False])
def test_external_locations_are_those_of_the_file(one_file, model, tmp_path):
    save_external(model, tmp_path / "m.onnx", one_file=one_file)
    found = external.external_locations(read_model(tmp_path / "m.onnx"))
    assert set(found) == {t.name for t in model.graph.initializer}
    assert len(set(found.values())) == (1 if one_file else 9)


def test_e605_memory_that_does_not_suffice_is_no_damage(model, tmp_path, monkeypatch):
    def full(self: object, content: bytes) -> None:
        raise DecodeError("Error parsing message with type 'onnx.GraphProto': Arena alloc failed")

    message = type("Message", (), {"MergeFromString": full})()
    with pytest.raises(MemoryError):
        wire.merge(message, wire.Window(io.BytesIO(b"abc")), 0, 3)
    monkeypatch.setattr(
        reading, "parse_model", lambda *_: wire.merge(message, wire.Window(io.BytesIO(b"abc")), 0, 3)
    )
    with pytest.raises(RuntimeProblem) as caught:
        read_model(written(tmp_path, model))
    assert caught.value.code == "E605"
