"""Masks: for each group that may be pruned, one bit a channel; True keeps it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxprune.errors import UsageError
from onnxprune.groups import Groups

Masks = dict[str, NDArray[np.bool_]]
Values = TypeVar("Values", bound=np.generic)
FORMAT = 1
MOST_CHANNELS = 1 << 24  # of a group: a damaged file must not ask for all memory


def all_true(groups: Groups) -> Masks:
    """Masks that keep everything."""
    return {group.name: np.ones(group.channels, bool) for group in groups.prunable}


@dataclass(frozen=True)
class ChannelOrder:
    """All channels that may go as one row: the prunable groups in their order, each from channel 0 on.

    Attributes:
        names: (G,) of the groups.
        starts: (G + 1,) where each group begins, and the end.
    """

    names: tuple[str, ...]
    starts: NDArray[np.int64]

    @staticmethod
    def of(groups: Groups) -> "ChannelOrder":
        counts = [group.channels for group in groups.prunable]
        return ChannelOrder(tuple(g.name for g in groups.prunable), np.cumsum([0, *counts]))

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def group_of(self) -> NDArray[np.int64]:
        """(C,) index of each channel's group."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.starts))

    def split(self, row: NDArray[Values]) -> dict[str, NDArray[Values]]:
        """(C,) -> (channels,) by group name."""
        return dict(zip(self.names, np.split(row, self.starts[1:-1]), strict=True))

    def join(self, by_group: Mapping[str, NDArray[Values]]) -> NDArray[Values]:
        """(channels,) by group name -> (C,)."""
        return np.concatenate([by_group[name] for name in self.names])


def check_masks(masks: Mapping[str, NDArray[np.bool_]], groups: Groups) -> None:
    """Refuse masks that do not fit the groups.

    Raises:
        UsageError: E206, for an unknown or frozen group, a wrong length, or a group left empty.
    """
    known = {group.name: group for group in groups}
    for name, bits in masks.items():
        group = known.get(name)
        if group is None:
            raise UsageError("E206", f"the masks name group {name!r}, which the model does not have")
        if len(bits) != group.channels:
            raise UsageError(
                "E206",
                f"group {name} has {group.channels} channels, its mask {len(bits)}",
                hint="give the options that the masks were made with: --heads, --skip, --only, --shape",
            )
        if group.frozen is not None and not bits.all():
            raise UsageError("E206", f"group {name} is frozen: {group.frozen}")
        if not bits.any():
            raise UsageError("E206", f"group {name} would lose all its channels", hint="keep at least one")


def model_hash(path: Path) -> str:
    """sha256 of the model file, hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def masks_hash(masks: Mapping[str, NDArray[np.bool_]]) -> str:
    """sha256 of masks, hexadecimal; the order of the groups does not matter."""
    digest = sha256()
    for name in sorted(masks):
        digest.update(f"{name}:{len(masks[name])}:".encode())
        digest.update(np.packbits(masks[name]).tobytes())
    return digest.hexdigest()


def masks_to_json(masks: Masks, groups: Groups, *, align: int | str = 1) -> dict[str, Any]:
    """Reviewable form: kept indices by group, with the model they belong to."""
    return {
        "format": FORMAT,
        "model": groups.graph.path.name,
        "sha256": model_hash(groups.graph.path),
        "align": align,
        "kept": {name: np.flatnonzero(bits).tolist() for name, bits in masks.items()},
        "channels": {name: len(bits) for name, bits in masks.items()},
    }


def save_masks(path: Path | str, masks: Masks, groups: Groups, *, align: int | str = 1) -> None:
    """Write masks as JSON, or as .npz (bool arrays by group) by the ending of the path; atomic."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    if path.suffix == ".npz":
        with part.open("wb") as file:
            sha = np.array(model_hash(groups.graph.path))
            np.savez_compressed(file, __sha256__=sha, **masks)  # type: ignore[arg-type]
    else:
        part.write_text(json.dumps(masks_to_json(masks, groups, align=align), indent=1) + "\n")
    part.replace(path)


def load_masks(path: Path | str, groups: Groups) -> Masks:
    """Read what `save_masks` wrote and check it against the groups.

    Raises:
        UsageError: E206: unreadable, no masks, made for another model, or unfit for these groups.
    """
    path = Path(path)
    try:
        masks, sha = read_npz(path) if path.suffix == ".npz" else read_json(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("E206", f"masks {str(path)!r} cannot be read", cause=str(error)) from error
    own = model_hash(groups.graph.path)
    if sha != own:
        raise UsageError(
            "E206",
            f"masks {path.name} were made for another model: sha256 {sha[:8]}..., got {own[:8]}...",
            hint="use the model they were made for",
        )
    check_masks(masks, groups)
    return masks


def no_masks(path: Path) -> UsageError:
    return UsageError(
        "E206",
        f"{path.name} holds no masks",
        hint="want masks.json or masks.npz of a search, or what `prune --save-masks` wrote",
    )


def read_npz(path: Path) -> tuple[Masks, str]:
    with np.load(path, allow_pickle=False) as arrays:
        if "__sha256__" not in arrays.files:
            raise no_masks(path)
        masks = {name: arrays[name].astype(bool) for name in arrays.files if name != "__sha256__"}
        return masks, str(arrays["__sha256__"])


def read_json(path: Path) -> tuple[Masks, str]:
    saved = json.loads(path.read_text())
    if not isinstance(saved, dict) or "kept" not in saved:
        raise no_masks(path)
    masks: Masks = {}
    for name, kept in saved["kept"].items():
        masks[name] = bits_of(name, kept, count=saved["channels"][name])
    return masks, str(saved["sha256"])


def bits_of(name: str, kept: list[int], *, count: int) -> NDArray[np.bool_]:
    """Bits from kept indices.

    Raises:
        ValueError: They are no indices of so many channels.
    """
    indices = np.asarray(kept or np.zeros(0, np.int64))
    inside = indices.ndim == 1 and indices.dtype.kind == "i" and ((indices >= 0) & (indices < count)).all()
    if not isinstance(count, int) or not 0 <= count <= MOST_CHANNELS or not inside:
        raise ValueError(f"group {name}: want indices from 0 to {count - 1}, got {kept!s:.60}")
    bits = np.zeros(count, bool)
    bits[indices] = True
    return bits
