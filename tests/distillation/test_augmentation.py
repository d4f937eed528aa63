"""Random views against a loop over images, and the promise that they depend on row and epoch alone."""

import numpy as np
import pytest
import torch

from onnxprune.distillation.augmentation import make_augmentation, pick_images
from onnxprune.distillation.data import Epoch, Rows, batches, make_batch
from onnxprune.distillation.options import DistillOptions
from onnxprune.distillation.parallel import Crew
from onnxprune.errors import UsageError

IMAGES = np.random.default_rng(0).normal(size=(10, 3, 8, 6)).astype(np.float32)
PICKED = np.array([7, 2, 5])


def rows_of(layout: str = "nchw") -> Rows:
    x = IMAGES if layout == "nchw" else np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    return Rows((torch.from_numpy(x),), torch.arange(10))


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_crop_and_flip_give_what_padding_and_slicing_give(layout: str) -> None:
    rows = rows_of(layout)
    augmentation = make_augmentation(DistillOptions(augment=("flip", "crop"), crop_pad=2), rows.shapes)
    draws = Epoch.of(10, augmentation, seed=0, epoch=0).draws
    got = pick_images(rows.inputs[0], PICKED, draws, augmentation).numpy()
    padded = np.pad(IMAGES, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for image, row in zip(got if layout == "nchw" else got.transpose(0, 3, 1, 2), PICKED, strict=True):
        top, left = draws.offsets[row] + 2
        cut = padded[row, :, top : top + 8, left : left + 6]
        np.testing.assert_array_equal(image, cut[:, :, ::-1] if draws.flips[row] else cut)
    assert draws.flips.any()
    assert not draws.flips.all()


def test_cutout_sets_a_square_to_zero_and_nothing_else() -> None:
    rows = rows_of()
    augmentation = make_augmentation(DistillOptions(augment=("cutout",), cutout_size=4), rows.shapes)
    draws = Epoch.of(10, augmentation, seed=0, epoch=0).draws
    got = pick_images(rows.inputs[0], PICKED, draws, augmentation).numpy()
    for image, row in zip(got, PICKED, strict=True):
        y, x = draws.holes[row] - 2
        expected = IMAGES[row].copy()
        expected[:, max(0, y) : max(0, y + 4), max(0, x) : max(0, x + 4)] = 0
        np.testing.assert_array_equal(image, expected)


def test_mixup_blends_a_row_with_its_partner() -> None:
    rows = rows_of()
    augmentation = make_augmentation(DistillOptions(augment=("mixup",)), rows.shapes)
    draws = Epoch.of(10, augmentation, seed=0, epoch=0).draws
    partners = np.roll(PICKED, 1)
    batch = make_batch(rows, PICKED, partners, draws, augmentation)
    share = draws.shares[PICKED].astype(np.float32)[:, None, None, None]
    expected = share * IMAGES[PICKED] + (1 - share) * IMAGES[partners]
    np.testing.assert_allclose(batch.inputs[0].numpy(), expected, atol=1e-6)
    assert batch.targets.labels.tolist() == PICKED.tolist()
    assert batch.targets.others.tolist() == partners.tolist()
    assert (draws.shares >= 0.5).all()


def test_colour_images_are_flipped_and_cropped_unless_told_otherwise() -> None:
    assert make_augmentation(DistillOptions(), [(10, 3, 32, 32)]).names == ("flip", "crop")
    assert make_augmentation(DistillOptions(), [(10, 3, 32, 32)]).pad == 4
    assert make_augmentation(DistillOptions(), [(10, 1, 28, 28)]).names == ()
    assert make_augmentation(DistillOptions(augment=()), [(10, 3, 32, 32)]).names == ()


@pytest.mark.parametrize("shapes", [[(10, 16)], [(10, 3, 8, 8), (10, 4)], [(10, 7, 9, 11)]])
def test_what_is_no_image_cannot_be_augmented(shapes: list[tuple[int, ...]]) -> None:
    assert make_augmentation(DistillOptions(), shapes).names == ()
    with pytest.raises(UsageError, match="needs one input of images") as caught:
        make_augmentation(DistillOptions(augment=("flip",)), shapes)
    assert caught.value.code == "E201"


def test_two_processes_together_see_the_batch_of_one() -> None:
    rows = rows_of()
    augmentation = make_augmentation(DistillOptions(augment=("flip", "crop", "mixup")), rows.shapes)
    epoch = Epoch.of(10, augmentation, seed=3, epoch=1)
    whole = list(batches(rows, epoch, augmentation, size=4))
    halves = [list(batches(rows, epoch, augmentation, size=4, crew=Crew(rank, 2))) for rank in (0, 1)]
    assert len(whole) == 2
    for one, first, second in zip(whole, *halves, strict=True):
        for rank, half in enumerate((first, second)):
            torch.testing.assert_close(half.inputs[0], one.inputs[0][rank::2], rtol=0, atol=0)
            assert half.targets.others.tolist() == one.targets.others[rank::2].tolist()


def test_every_epoch_has_its_own_order_and_a_resumed_one_the_same() -> None:
    augmentation = make_augmentation(DistillOptions(), rows_of().shapes)
    first, again, second = (Epoch.of(10, augmentation, seed=0, epoch=e) for e in (0, 0, 1))
    assert first.order.tolist() == again.order.tolist() != second.order.tolist()
    rest = list(batches(rows_of(), first, augmentation, size=3, start=2))
    every = list(batches(rows_of(), again, augmentation, size=3))
    torch.testing.assert_close(rest[0].inputs[0], every[2].inputs[0], rtol=0, atol=0)
    assert len(every) == 3
