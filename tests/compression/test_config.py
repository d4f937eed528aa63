"""The configuration file: every key there and back, and errors that name the line."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.compression.config import (
    KEYS,
    make_options,
    read_config,
    values_of,
    write_config,
)
from onnxprune.compression.options import CompressOptions, DistillSettings
from onnxprune.compression.training import OWN
from onnxprune.distillation import DistillOptions
from onnxprune.errors import UsageError
from onnxprune.runs.config import first_difference, toml

LEAST = {"model": "m.onnx", "data": "d.npz", "target": ("macs=50%",)}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    options = make_options({**LEAST, "distill.augment": "none", "samples": 7, "prune.skip": ("a", 'b"\\')})
    write_config(tmp_path / "c.toml", options)
    assert make_options(read_config(tmp_path / "c.toml")) == options
    assert make_options(values_of(options)) == options


@given(st.text(st.characters(blacklist_categories=("Cs",))))
def test_any_text_survives(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"key = {toml(text)}") == {"key": text}


def test_an_unknown_key_is_told_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, 'target = "macs=50%"\n\n[distill]\nlr = 0.1\nepochz = 5\n')
    with pytest.raises(
        UsageError,
        match=r"unknown key 'distill\.epochz' in run\.toml line 5; did you mean 'distill\.epochs'\?",
    ):
        read_config(path)


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'epochs' in run\.toml line 1; did you mean 'distill\.epochs'"):
        read_config(written(tmp_path, "epochs = 5\n"))


def test_a_value_of_another_type_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.toml line 2: distill\.epochs is 'many', want a whole number"):
        read_config(written(tmp_path, "[distill]\nepochs = 'many'\n"))


def test_a_file_that_is_no_toml_is_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no TOML file") as error:
        read_config(written(tmp_path, "target = \n"))
    assert "line 1" in error.value.cause


def test_one_target_may_stand_without_a_list(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, 'target = "macs=50%"\n')) == {"target": ("macs=50%",)}


@pytest.mark.parametrize("missing", ["model", "data", "target"])
def test_what_must_be_given_is_asked_for(missing: str) -> None:
    with pytest.raises(UsageError, match=f"compress needs {'' if missing == 'data' else 'a '}{missing}"):
        make_options({key: value for key, value in LEAST.items() if key != missing})


def test_the_first_difference_is_told() -> None:
    new = {**values_of(make_options(LEAST)), "prune.skip": ("a", "b")}
    assert first_difference(values_of(make_options(LEAST)), new) == "prune.skip none, got a b"


def test_every_option_has_a_key_and_defaults_are_those_of_the_training() -> None:
    assert {"seed", "distill.epochs", "images.layout", "measure.metric"} < set(KEYS)
    assert isinstance(make_options(LEAST), CompressOptions)
    theirs = {field.name: field.default for field in fields(DistillOptions)}
    for field in fields(DistillSettings):
        if field.name not in OWN:
            assert field.default == theirs[field.name], field.name


def test_a_section_that_is_no_table_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('distill = "no"\n')
    with pytest.raises(UsageError, match=r"want a table: \[distill\]"):
        read_config(path)
