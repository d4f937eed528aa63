"""Saving: the output is whole or untouched, whatever happens on the way."""

import errno
import itertools
import os
import stat
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto

from onnxprune.errors import ModelError, RuntimeProblem, UsageError, VerificationError
from onnxprune.onnx_file import saving
from onnxprune.onnx_file.reading import read_model
from onnxprune.onnx_file.saving import check_output, save_model
from onnxprune.onnx_file.serializing import model_parts, serialized_size
from tests.onnx_file.small_models import BUILDERS, chain, save_external, wide


@pytest.fixture
def model() -> ModelProto:
    return chain(np.random.default_rng(0))


@pytest.fixture
def outside(model, tmp_path) -> Path:
    """The chain in `in/m.onnx` with its weights in `in/m.onnx.data`."""
    (tmp_path / "in").mkdir()
    save_external(model, tmp_path / "in" / "m.onnx", one_file=True)
    return tmp_path / "in" / "m.onnx"


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("build", BUILDERS)
def test_a_model_is_written_byte_for_byte_as_protobuf_writes_it(build, tmp_path):
    model = build(np.random.default_rng(0))
    saved = save_model(model, tmp_path / "m.onnx")
    assert (saved.model, saved.data, saved.warnings) == (tmp_path / "m.onnx", None, ())
    assert content(tmp_path) == {"m.onnx": model.SerializeToString()}


@pytest.mark.parametrize("build", BUILDERS)
def test_the_parts_of_a_model_have_its_size(build):
    model = build(np.random.default_rng(0))
    assert serialized_size(model) == len(model.SerializeToString())


@pytest.mark.parametrize("where", ["model", "graph"])
def test_fields_of_a_newer_onnx_are_written_again(where, model, tmp_path):
    (model if where == "model" else model.graph).MergeFromString(b"\xa2\x06\x03new")  # field 100
    save_model(model, tmp_path / "m.onnx")
    assert read_model(tmp_path / "m.onnx") == model
    assert b"\xa2\x06\x03new" in (tmp_path / "m.onnx").read_bytes()
    assert b"".join(model_parts(model)) == model.SerializeToString()


def test_the_model_in_memory_is_not_changed(outside, tmp_path):
    model = read_model(outside)
    before = model.SerializeToString()
    save_model(model, tmp_path / "out.onnx", source=outside, external=["fc_w"])
    assert model.SerializeToString() == before


def test_e203_an_existing_output_needs_force(model, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"mine")
    for attempt in (lambda p: check_output(p, force=False), lambda p: save_model(model, p)):
        with pytest.raises(UsageError, match="exists") as caught:
            attempt(tmp_path / "m.onnx")
        assert caught.value.code == "E203"
        assert "--force" in caught.value.hint
    assert content(tmp_path) == {"m.onnx": b"mine"}
    save_model(model, tmp_path / "m.onnx", force=True)
    assert read_model(tmp_path / "m.onnx") == model


def test_e203_existing_weights_need_force_too(tmp_path):
    (tmp_path / "m.onnx.data").write_bytes(b"weights of the old model")
    with pytest.raises(UsageError, match=r"m\.onnx\.data exists"):
        check_output(tmp_path / "m.onnx", force=False)


def test_e203_a_dead_link_is_an_existing_output(tmp_path):
    (tmp_path / "m.onnx").symlink_to("gone")
    with pytest.raises(UsageError, match="exists"):
        check_output(tmp_path / "m.onnx", force=False)


@pytest.mark.parametrize(
    "output", ["no/folder/m.onnx", "file/m.onnx", "folder", ".", os.devnull, "n" * 300, "a\0b"]
)
def test_e203_an_output_that_cannot_be(output, model, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as caught:
        save_model(model, tmp_path / output, force=True)
    assert caught.value.code == "E203"
    assert content(tmp_path) == {"file": b""}


def test_an_output_that_appears_meanwhile_is_not_replaced(model, tmp_path):
    with pytest.raises(UsageError, match="exists"):
        save_model(
            model, tmp_path / "m.onnx", check=lambda _: (tmp_path / "m.onnx").write_bytes(b"theirs") and None
        )
    assert content(tmp_path) == {"m.onnx": b"theirs"}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@pytest.mark.skipif(os.name == "nt", reason="no umask")
def test_both_files_respect_the_umask(mask, outside, tmp_path):
    model = read_model(outside)
    before = os.umask(mask)
    try:
        save_model(model, tmp_path / "out.onnx", source=outside)
    finally:
        os.umask(before)
    for name in ("out.onnx", "out.onnx.data"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~mask


def test_the_check_sees_a_model_that_runs_and_no_output_yet(outside, tmp_path):
    seen = []

    def check(path: Path) -> None:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        seen.append(session.run(None, {"x": np.ones((1, 3, 8, 8), np.float32)})[0].shape)
        assert not (tmp_path / "out.onnx").exists()
        assert path.name == "out.onnx"

    save_model(read_model(outside), tmp_path / "out.onnx", source=outside, check=check)
    assert seen == [(1, 5)]


FAILURES = [
    KeyboardInterrupt(),
    VerificationError("E801", "differs"),
    MemoryError(),
    OSError(errno.EIO, "bad disk"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: type(f).__name__)
@pytest.mark.parametrize("existing", [True, False])
def test_a_check_that_refuses_leaves_everything_as_it_was(failure, existing, outside, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    if existing:
        save_external(chain(np.random.default_rng(1)), out / "m.onnx", one_file=True)
    before = content(tmp_path)

    def check(_: Path) -> None:
        raise failure

    with pytest.raises(type(failure)):
        save_model(read_model(outside), out / "m.onnx", source=outside, force=existing, check=check)
    assert content(tmp_path) == before


STEPS = ("write_segments", "write_model", "flush", "Path.rename", "Path.replace")
FULL_DISK, FORBIDDEN = OSError(errno.ENOSPC, "full"), OSError(errno.EACCES, "no")
ERRORS = [(KeyboardInterrupt(), None), (FULL_DISK, "E605"), (FORBIDDEN, "E203")]


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, call: int, failure: BaseException) -> None:
    """Let the n-th call of one step of `save_model` raise, and the others do their work."""
    owner, name = (Path, step.removeprefix("Path.")) if step.startswith("Path.") else (saving, step)
    real = getattr(owner, name)
    calls = itertools.count(1)

    def failing(*args: object) -> object:
        if next(calls) == call:
            raise failure
        return real(*args)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(("step", "call"), [*((step, 1) for step in STEPS), ("Path.rename", 2)])
@pytest.mark.parametrize(("failure", "code"), ERRORS)
def test_a_failure_at_any_step_leaves_the_old_model_and_its_weights(
    step, call, failure, code, outside, monkeypatch
):
    """The hardest case: the output is the source itself, with weights of its own that must be replaced."""
    before = content(outside.parent)
    model = read_model(outside)
    fail_at(monkeypatch, step, call, failure)
    with pytest.raises((KeyboardInterrupt, RuntimeProblem, UsageError)) as caught:
        save_model(model, outside, source=outside, force=True)
    assert getattr(caught.value, "code", None) == code
    assert content(outside.parent) == before


def test_old_weights_that_cannot_be_put_back_are_kept_in_the_hidden_folder(outside, monkeypatch):
    weights = (outside.parent / "m.onnx.data").read_bytes()
    model = read_model(outside)
    calls = itertools.count(1)
    real = Path.rename

    def first_only(self: Path, target: Path) -> Path:
        if next(calls) > 1:
            raise OSError(errno.EIO, "the disk is gone")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", first_only)
    with pytest.raises(UsageError):
        save_model(model, outside, source=outside, force=True)
    kept = {Path(name).name: data for name, data in content(outside.parent).items()}
    assert kept["replaced"] == weights


def test_an_interrupt_after_the_last_rename_leaves_the_new_model(outside, monkeypatch):
    real = Path.replace

    def interrupted(self: Path, target: Path) -> None:
        real(self, target)
        raise KeyboardInterrupt

    model = read_model(outside)
    model.graph.doc_string = "new"
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, outside, source=outside, force=True)
    assert sorted(content(outside.parent)) == ["m.onnx", "m.onnx.data"]
    assert onnx.load(outside).graph.doc_string == "new"


def test_e605_a_full_disk_is_found_before_writing(model, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RuntimeProblem, match=r"needs [\d.]+ KiB, .* has 100 B left") as caught:
        save_model(model, tmp_path / "m.onnx")
    assert caught.value.code == "E605"
    assert content(tmp_path) == {}


@pytest.mark.parametrize("data", [True, False])
def test_the_source_itself_may_be_the_output(data, outside, tmp_path):
    source = outside
    if not data:
        source = tmp_path / "in" / "inside.onnx"
        source.write_bytes(chain(np.random.default_rng(0)).SerializeToString())
    changed = read_model(source)
    changed.graph.doc_string = "changed"
    save_model(changed, source, source=source, force=True)
    found = onnx.load(source)
    assert found.graph.doc_string == "changed"
    found.graph.doc_string = "a chain"
    assert len(content(source.parent)) == (2 if data else 3)
    assert [onnx.numpy_helper.to_array(t).tolist() for t in found.graph.initializer] == [
        onnx.numpy_helper.to_array(t).tolist() for t in chain(np.random.default_rng(0)).graph.initializer
    ]


@pytest.mark.parametrize("output", ["w.onnx", "w.onnx.data"])
def test_e203_the_weights_of_the_source_are_never_replaced(output, outside):
    """A source whose weights file has the name that the output's weights (or the output) would get."""
    (outside.parent / "m.onnx.data").rename(outside.parent / "w.onnx.data")
    text = outside.read_bytes().replace(b"m.onnx.data", b"w.onnx.data")
    outside.write_bytes(text)
    before = content(outside.parent)
    with pytest.raises(UsageError, match="holds weights of"):
        save_model(read_model(outside), outside.parent / output, source=outside, force=True)
    assert content(outside.parent) == before


def test_e306_weights_that_vanish_before_they_are_copied(outside, tmp_path):
    model = read_model(outside)
    os.truncate(outside.parent / "m.onnx.data", 100)
    with pytest.raises(ModelError) as caught:
        save_model(model, tmp_path / "out.onnx", source=outside)
    assert caught.value.code == "E306"
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_e306_external_weights_without_a_source(outside, tmp_path):
    with pytest.raises(ModelError, match="unknown model"):
        save_model(read_model(outside), tmp_path / "out.onnx")


def test_e310_a_model_beyond_2_gib_is_written_with_its_weights_outside(tmp_path, monkeypatch):
    model = wide(np.random.default_rng(0), 4, 32)
    monkeypatch.setattr(saving, "PROTOBUF_LIMIT", 4 * 32 * 32 * 4)
    saved = save_model(model, tmp_path / "m.onnx")
    assert "E310" in saved.warnings[0]
    assert saved.data == tmp_path / "m.onnx.data"
    found = onnx.load(tmp_path / "m.onnx").graph.initializer
    assert [t.raw_data for t in found] == [t.raw_data for t in model.graph.initializer]
    assert saved.data.stat().st_size >= 4 * 32 * 32 * 4


def test_e310_where_nothing_can_be_moved_outside(model, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "PROTOBUF_LIMIT", 100)
    with pytest.raises(ModelError) as caught:
        save_model(model, tmp_path / "m.onnx")
    assert caught.value.code == "E310"
    assert content(tmp_path) == {}
