"""The sample of CIFAR-10 in the package: complete, balanced, without loss, apart from the training images."""

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxprune.data.cifar import Cifar10, as_input, choose_balanced, split_search
from onnxprune.data.cifar_sample import (
    SAMPLE,
    CifarSample,
    from_differences,
    read_sample,
    take_sample,
    to_differences,
    write_sample,
)
from onnxprune.errors import DataError
from onnxprune.models.sample import main

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def sample() -> CifarSample:
    return read_sample()


@pytest.fixture(scope="module")
def data() -> Cifar10:
    rng = np.random.default_rng(0)
    parts = [(rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % 10) for n in (2500, 2400)]
    return Cifar10(*parts[0], *parts[1])


def test_the_sample_has_200_images_of_each_class_for_search_and_for_test(sample: CifarSample) -> None:
    for images, labels in (
        (sample.search_images, sample.search_labels),
        (sample.test_images, sample.test_labels),
    ):
        assert (images.shape, images.dtype) == ((2000, 32, 32, 3), np.uint8)
        assert labels.dtype == np.int64
        assert np.bincount(labels).tolist() == [200] * 10


def test_every_image_of_the_sample_is_there_once(sample: CifarSample) -> None:
    images = np.concatenate([sample.search_images, sample.test_images])
    assert len({image.tobytes() for image in images}) == 4000


def test_the_sample_looks_like_cifar10(sample: CifarSample) -> None:
    images = as_input(np.concatenate([sample.search_images, sample.test_images]))
    assert images.shape == (4000, 3, 32, 32)
    assert np.allclose(images.mean(axis=(0, 2, 3)), 0, atol=0.05)
    assert np.allclose(images.std(axis=(0, 2, 3)), 1, atol=0.05)


def test_the_sample_is_small_enough_for_the_wheel() -> None:
    assert SAMPLE.stat().st_size < 12 * MEGABYTE


@given(arrays(np.uint8, st.tuples(*(st.integers(1, 5),) * 3, st.just(3))))
def test_differences_lose_nothing(images: np.ndarray) -> None:
    assert np.array_equal(from_differences(to_differences(images)), images)


def test_the_search_images_of_a_sample_are_those_held_out_from_training(data: Cifar10) -> None:
    sample, split = take_sample(data), split_search(data)
    assert np.array_equal(sample.search_images, split.search_images)
    fitted = {image.tobytes() for image in split.fit_images}
    assert not fitted & {image.tobytes() for image in sample.search_images}
    assert len(fitted) + len(sample.search_images) == len(data.x_train)


def test_a_choice_depends_on_its_seed_alone(data: Cifar10) -> None:
    chosen = choose_balanced(data.y_test, 50, seed=1)
    assert np.array_equal(chosen, choose_balanced(data.y_test, 50, seed=1))
    assert not np.array_equal(chosen, choose_balanced(data.y_test, 50, seed=2))
    assert np.bincount(data.y_test[chosen]).tolist() == [5] * 10


def test_the_command_writes_what_the_reader_reads(data: Cifar10, tmp_path) -> None:
    np.savez(tmp_path / "data.npz", **vars(data))
    out = tmp_path / "sample.npz"
    result = CliRunner().invoke(main, ["--data", str(tmp_path / "data.npz"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert all(
        np.array_equal(got, expected)
        for got, expected in zip(
            vars(read_sample(out)).values(), vars(take_sample(data)).values(), strict=True
        )
    )


def test_the_same_sample_gives_the_same_bytes(sample: CifarSample, tmp_path) -> None:
    few = CifarSample(*(array[:20] for array in vars(sample).values()))
    for name in ("one.npz", "two.npz"):
        write_sample(tmp_path / name, few)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"not an archive"])
def test_a_missing_or_damaged_sample_is_named(tmp_path, content) -> None:
    path = tmp_path / "sample.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"sample\.npz"):
        read_sample(path)


def test_other_arrays_are_not_taken_for_the_sample(tmp_path) -> None:
    np.savez(tmp_path / "sample.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="it has no search_differences"):
        read_sample(tmp_path / "sample.npz")


def test_a_truncated_sample_is_named(tmp_path) -> None:
    whole = SAMPLE.read_bytes()
    path = tmp_path / "sample.npz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"sample\.npz"):
        read_sample(path)
