"""Weights files: the layout stays, and so does every byte, wherever the tensor lies."""

import itertools
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxprune.onnx_file.external import external_locations, reference_of
from onnxprune.onnx_file.reading import read_model
from onnxprune.onnx_file.saving import save_model
from onnxprune.onnx_file.tensors import byte_size, is_external, tensors
from tests.onnx_file.small_models import BUILDERS, chain, nested, save_external, wide

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(0)


def stored(path: Path) -> list[tuple[str, tuple[int, ...], int, bytes]]:
    """Name, shape, type and raw bytes of every tensor of a file, read by the plainest means."""
    found = []
    for tensor in tensors(ModelProto.FromString(path.read_bytes())):
        if is_external(tensor):
            entries = {e.key: e.value for e in tensor.external_data}
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", byte_size(tensor)))
            raw = (path.parent / entries["location"]).read_bytes()[offset : offset + length]
        else:
            raw = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        found.append((tensor.name, tuple(tensor.dims), tensor.data_type, raw))
    return found


def references(path: Path) -> dict[str, tuple[str, int, int]]:
    found = {}
    for tensor in tensors(ModelProto.FromString(path.read_bytes())):
        if is_external(tensor):
            place = reference_of(tensor)
            found[tensor.name] = (place.location, place.offset, place.length)
    return found


def make_external(model: ModelProto, path: Path, location: Callable[[int], str]) -> Path:
    """Write every tensor of a model, in subgraphs, functions and attributes too, to `location(i)`."""
    files: dict[str, bytearray] = {}
    for i, tensor in enumerate(tensors(model)):
        raw = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        file = files.setdefault(location(i), bytearray())
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location(i), "offset": str(len(file)), "length": str(len(raw))}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        file += raw
    for name, content in files.items():
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(content)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("build", BUILDERS)
def test_every_tensor_keeps_its_bytes(build, one_file, rng, tmp_path):
    model = build(rng)
    (tmp_path / "plain.onnx").write_bytes(model.SerializeToString())
    source = make_external(model, tmp_path / "m.onnx", lambda i: "m.bin" if one_file else f"sub/{i}.bin")
    assert stored(source) == stored(tmp_path / "plain.onnx")
    save_model(read_model(source), tmp_path / "out.onnx", source=source)
    assert stored(tmp_path / "out.onnx") == stored(source)
    assert set(references(tmp_path / "out.onnx")) == set(references(source))


@pytest.mark.parametrize("one_file", [True, False])
def test_models_written_by_onnx_itself_are_read_and_run_again(one_file, rng, tmp_path):
    model = chain(rng)
    before = save_external(model, tmp_path / "m.onnx", one_file=one_file)
    save_model(read_model(tmp_path / "m.onnx"), tmp_path / "out.onnx", source=tmp_path / "m.onnx")
    assert (
        onnx.load(tmp_path / "out.onnx").graph.initializer[0].raw_data == before.graph.initializer[0].raw_data
    )
    feed = {"x": np.ones((2, 3, 8, 8), np.float32)}
    results = [
        ort.InferenceSession(m, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for m in (before.SerializeToString(), tmp_path / "out.onnx")
    ]
    assert np.array_equal(*results)


def test_weights_in_a_branch_are_found_by_onnxruntime_in_the_new_file(rng, tmp_path):
    model = nested(rng)
    del model.graph.sparse_initializer[:]
    model.graph.initializer.append(numpy_helper.from_array(np.ones(6, np.float32), "sparse_b"))
    (tmp_path / "plain.onnx").write_bytes(model.SerializeToString())
    branch = next(a.g for n in model.graph.node for a in n.attribute if a.name == "then_branch")
    tensor = branch.initializer[0]
    (tmp_path / "yes.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="yes.bin")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    save_model(read_model(tmp_path / "m.onnx"), tmp_path / "out.onnx", source=tmp_path / "m.onnx")
    feed = {"x": np.ones((2, 4), np.float32), "flag": np.array(True)}
    results = [
        ort.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"]).run(None, feed)[0]
        for name in ("plain.onnx", "out.onnx")
    ]
    assert np.array_equal(*results)


def test_one_weights_file_stays_one_beside_the_model(rng, tmp_path):
    source = make_external(wide(rng, 3, 8), tmp_path / "m.onnx", lambda _: "weights.bin")
    save_model(read_model(source), tmp_path / "out.onnx", source=source)
    assert {location for location, _, _ in references(tmp_path / "out.onnx").values()} == {"out.onnx.data"}


def test_one_file_for_each_tensor_stays_so_under_the_old_names(rng, tmp_path):
    source = make_external(wide(rng, 30, 4), tmp_path / "m.onnx", lambda i: f"layer.{i}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    saved = save_model(read_model(source), tmp_path / "out.onnx", source=source)
    found = [location for location, _, _ in references(tmp_path / "out.onnx").values()]
    assert found == [f"out.onnx.data/layer.{i}" for i in range(30)]
    assert sorted(p.name for p in saved.data.iterdir()) == sorted(f"layer.{i}" for i in range(30))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name in before} == before


def test_shards_stay_shards(rng, tmp_path):
    source = make_external(wide(rng, 9, 4), tmp_path / "m.onnx", lambda i: f"shard-{i // 3}.bin")
    save_model(read_model(source), tmp_path / "out.onnx", source=source)
    assert len({location for location, _, _ in references(tmp_path / "out.onnx").values()}) == 3


def test_a_thousand_files_do_not_need_a_thousand_descriptors(rng, tmp_path):
    resource = pytest.importorskip("resource")
    source = make_external(wide(rng, 300, 2), tmp_path / "m.onnx", lambda i: f"{i}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 120), hard))
    try:
        save_model(read_model(source), tmp_path / "out.onnx", source=source)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert stored(tmp_path / "out.onnx") == stored(source)


def test_replaced_tensors_go_where_the_old_ones_were(rng, tmp_path):
    """As pruning does it: sliced tensors come back with their values inside."""
    source = make_external(wide(rng, 3, 8), tmp_path / "m.onnx", lambda i: f"part-{i // 2}")
    original = read_model(source)
    homes = external_locations(original)
    pruned = ModelProto()
    pruned.CopyFrom(original)
    sliced = numpy_helper.from_array(np.ones((8, 4), np.float32), "layer.w2")
    pruned.graph.initializer[2].CopyFrom(sliced)
    save_model(pruned, tmp_path / "out.onnx", source=source, external=homes)
    found = references(tmp_path / "out.onnx")
    assert found["layer.w2"] == ("out.onnx.data/part-1", 0, 8 * 4 * 4)
    assert stored(tmp_path / "out.onnx")[2][3] == sliced.raw_data
    assert stored(tmp_path / "out.onnx")[:2] == stored(source)[:2]


def test_named_tensors_alone_are_written_outside(rng, tmp_path):
    save_model(chain(rng), tmp_path / "out.onnx", external={"fc_w", "conv_w"})
    assert list(references(tmp_path / "out.onnx")) == ["conv_w", "fc_w"]
    assert (
        stored(tmp_path / "out.onnx")[0][3] == chain(np.random.default_rng(0)).graph.initializer[0].raw_data
    )


def test_a_home_outside_the_folder_is_not_written_to(rng, tmp_path):
    (tmp_path / "out").mkdir()
    homes = {"fc_w": "../../evil", "conv_w": "good"}
    save_model(chain(rng), tmp_path / "out" / "m.onnx", external=homes)
    assert references(tmp_path / "out" / "m.onnx")["fc_w"][0] == "m.onnx.data/fc_w"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("data_type", "array"),
    [
        (TensorProto.BFLOAT16, np.arange(5).astype(ml_dtypes.bfloat16)),
        (TensorProto.FLOAT16, np.arange(5).astype(np.float16)),
        (TensorProto.INT4, np.arange(-3, 2).astype(ml_dtypes.int4)),
        (TensorProto.UINT4, np.arange(7).astype(ml_dtypes.uint4)),
        (TensorProto.FLOAT8E4M3FN, np.arange(5).astype(ml_dtypes.float8_e4m3fn)),
        (TensorProto.BOOL, np.array([True, False, True])),
        (TensorProto.COMPLEX64, np.array([1 + 2j, 3j], np.complex64)),
    ],
)
@pytest.mark.parametrize("typed", [True, False])
def test_every_type_goes_out_and_comes_back(data_type, array, typed, rng, tmp_path):
    """Typed fields (int32_data and the like) become the raw bytes that weights files hold."""
    model = chain(rng)
    values = array.astype(np.complex64 if array.dtype == np.complex64 else np.float32).tolist()
    raw = numpy_helper.from_array(array, "odd")
    tensor = helper.make_tensor("odd", data_type, array.shape, values) if typed else raw
    model.graph.initializer.append(tensor)
    assert byte_size(tensor) == len(raw.raw_data)
    save_model(model, tmp_path / "m.onnx", external=["odd"])
    save_model(read_model(tmp_path / "m.onnx"), tmp_path / "out.onnx", source=tmp_path / "m.onnx")
    assert stored(tmp_path / "out.onnx")[-1] == ("odd", array.shape, data_type, raw.raw_data)


def test_empty_and_text_tensors_stay_inside(rng, tmp_path):
    model = chain(rng)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty"))
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"hello"]))
    save_model(model, tmp_path / "m.onnx", external=["empty", "words", "fc_w"])
    assert list(references(tmp_path / "m.onnx")) == ["fc_w"]
    assert read_model(tmp_path / "m.onnx").graph.initializer[-1].string_data[0] == b"hello"


def test_large_tensors_begin_where_systems_can_map_them(rng, tmp_path):
    save_model(wide(rng, 3, 520), tmp_path / "m.onnx", external=[f"layer.w{i}" for i in range(3)])
    assert all(offset % 65536 == 0 for _, offset, _ in references(tmp_path / "m.onnx").values())


def test_small_tensors_are_aligned_and_do_not_overlap(rng, tmp_path):
    save_model(wide(rng, 40, 3), tmp_path / "m.onnx", external=[f"layer.w{i}" for i in range(40)])
    places = sorted((offset, length) for _, offset, length in references(tmp_path / "m.onnx").values())
    assert all(offset % 64 == 0 for offset, _ in places)
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(places))


def test_tensors_that_share_their_bytes_share_them_again(rng, tmp_path):
    source = make_external(wide(rng, 3, 8), tmp_path / "m.onnx", lambda _: "w")
    model = read_model(source)
    del model.graph.initializer[1].external_data[:]
    model.graph.initializer[1].external_data.extend(model.graph.initializer[0].external_data)
    save_model(model, tmp_path / "out.onnx", source=source)
    found = references(tmp_path / "out.onnx")
    assert found["layer.w0"] == found["layer.w1"] != found["layer.w2"]


def test_offsets_beyond_4_gib_are_followed(rng, tmp_path):
    source = make_external(wide(rng, 2, 8), tmp_path / "m.onnx", lambda _: "w")
    model = read_model(source)
    far = 5 << 30
    values = rng.bytes(8 * 8 * 4)
    with (tmp_path / "w").open("r+b") as file:  # sparse: 5 GiB that take no room
        file.seek(far)
        file.write(values)
    next(e for e in model.graph.initializer[1].external_data if e.key == "offset").value = str(far)
    source.write_bytes(model.SerializeToString())
    save_model(read_model(source), tmp_path / "out.onnx", source=source)
    assert (tmp_path / "out.onnx.data").stat().st_size < 10_000
    assert stored(tmp_path / "out.onnx")[1][3] == values


def test_a_checksum_stays_with_bytes_that_stay(rng, tmp_path):
    source = make_external(wide(rng, 2, 8), tmp_path / "m.onnx", lambda _: "w")
    model = read_model(source)
    for tensor in model.graph.initializer:
        tensor.external_data.add(key="checksum", value="abc")
    save_model(model, tmp_path / "out.onnx", source=source)
    found = read_model(tmp_path / "out.onnx").graph.initializer[0].external_data
    assert {e.key: e.value for e in found}["checksum"] == "abc"


def test_what_describes_a_tensor_is_kept(rng, tmp_path):
    model = chain(rng)
    model.graph.initializer[0].doc_string = "the first"
    model.graph.initializer[0].metadata_props.add(key="k", value="v")
    save_model(model, tmp_path / "m.onnx", external=["conv_w"])
    tensor = read_model(tmp_path / "m.onnx").graph.initializer[0]
    assert (tensor.doc_string, tensor.metadata_props[0].value) == ("the first", "v")
    for field in ("data_location", "external_data", "raw_data"):
        tensor.ClearField(field)
        model.graph.initializer[0].ClearField(field)
    assert tensor == model.graph.initializer[0]


def test_a_weights_folder_is_replaced_as_a_whole(rng, tmp_path):
    source = make_external(wide(rng, 3, 4), tmp_path / "m.onnx", lambda i: f"l{i}")
    save_model(read_model(source), tmp_path / "out.onnx", source=source)
    (tmp_path / "out.onnx.data" / "old").touch()
    save_model(read_model(source), tmp_path / "out.onnx", source=source, force=True)
    assert sorted(p.name for p in (tmp_path / "out.onnx.data").iterdir()) == ["l0", "l1", "l2"]


def test_a_model_with_a_weights_folder_is_saved_over_itself(rng, tmp_path):
    make_external(wide(rng, 3, 4), tmp_path / "m.onnx", lambda i: f"l{i}")
    out = tmp_path / "out.onnx"
    save_model(read_model(tmp_path / "m.onnx"), out, source=tmp_path / "m.onnx")
    before = stored(out), references(out)
    save_model(read_model(out), out, source=out, force=True)
    assert (stored(out), references(out)) == before
