"""Steps of channel counts by provider, processor and width."""

import platform

import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.errors import UsageError
from onnxprune.target import Alignment, alignment, resolve_align


@pytest.mark.parametrize(
    ("provider", "int8", "steps"),
    [
        ("CUDAExecutionProvider", False, (8, 8)),
        ("cuda", True, (8, 8)),
        ("tensorrt", False, (8, 8)),
        ("TensorrtExecutionProvider", True, (32, 32)),
        ("XnnpackExecutionProvider", False, (4, 8)),
        ("SomeNewExecutionProvider", False, (8, 8)),
    ],
)
def test_each_provider_has_its_steps(provider: str, int8: bool, steps: tuple[int, int]) -> None:
    found = resolve_align("auto", provider=provider, int8=int8)
    assert (found.hard, found.preferred) == steps


@pytest.mark.parametrize(
    ("machine", "extensions", "steps"),
    [
        ("x86_64", {"AVX2", "AVX512F"}, (4, 16)),
        ("AMD64", {"X86_V3", "X86_V4"}, (4, 16)),
        ("x86_64", {"X86_V3"}, (4, 8)),
        ("arm64", {"NEON"}, (4, 8)),
        ("aarch64", set(), (4, 8)),
    ],
)
def test_the_cpu_provider_goes_by_the_processor(
    machine: str, extensions: set[str], steps: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(alignment, "vector_extensions", lambda: extensions)
    found = resolve_align("auto")
    assert (found.hard, found.preferred) == steps


def test_this_processor_has_some_vector_extension() -> None:
    assert alignment.vector_extensions()


def test_a_number_is_taken_as_it_is() -> None:
    assert resolve_align("12") == Alignment(12, 12, why="as asked")


@pytest.mark.parametrize("text", ["0", "-4", "4.5", "Auto", "", "eight"])
def test_what_is_neither_auto_nor_a_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be auto or a number of channels") as caught:
        resolve_align(text)
    assert caught.value.code == "E202"


@pytest.mark.parametrize("align", ["auto", "8"])
@pytest.mark.parametrize("name", ["CPUU", "gpu", "", "ExecutionProvider", "cpu-int8-x"])
def test_a_device_that_nothing_knows_is_refused(name: str, align: str) -> None:
    with pytest.raises(UsageError, match=f"--device {name}: no execution provider has that name") as caught:
        resolve_align(align, provider=name)
    assert caught.value.code == "E201"
    assert "cpu, cuda, tensorrt" in caught.value.hint


@pytest.mark.parametrize("name", ["CPU", "auto", "tensorrt-int8", "openvino", "NewExecutionProvider"])
def test_a_device_may_have_any_name_that_a_provider_has(name: str) -> None:
    assert resolve_align("8", provider=name).hard == 8


def test_every_provider_of_the_runtime_is_a_device() -> None:
    for name in onnxruntime.get_all_providers():
        resolve_align("8", provider=name.removesuffix("ExecutionProvider"))


@pytest.mark.parametrize(("extent", "step"), [(64, 8), (8, 8), (7, 4), (4, 4), (3, 2), (2, 2), (1, 1)])
def test_what_is_narrower_than_the_step_has_a_smaller_one(extent: int, step: int) -> None:
    assert Alignment(8, 8).step(extent) == step


@pytest.mark.parametrize(("extent", "step"), [(64, 16), (32, 16), (31, 8), (16, 8), (10, 4), (3, 2)])
def test_the_preferred_step_can_be_for_groups_with_a_choice(extent: int, step: int) -> None:
    assert Alignment(4, 16, choices=2).step(extent) == step


def test_alignment_gets_finer_down_to_its_hard_step() -> None:
    found = [Alignment(4, 16)]
    while (finer := found[-1].finer()) is not None:
        found.append(finer)
    steps = [[align.step(extent) for extent in (16, 32, 64)] for align in found]
    assert steps == [[16, 16, 16], [8, 16, 16], [4, 8, 16], [4, 4, 4]]


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(0, 3), st.integers(1, 4))
def test_a_step_fits_into_its_extent_and_halves_the_asked_one(
    extent: int, hard: int, doublings: int, choices: int
) -> None:
    asked = Alignment(hard, hard << doublings, choices)
    step = asked.step(extent)
    assert 1 <= step <= extent
    assert step >= min(hard, step) and (step >= hard or extent < hard)  # noqa: PT018
    assert step in {max(1, asked.preferred >> halvings) for halvings in range(13)}
