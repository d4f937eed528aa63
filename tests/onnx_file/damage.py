"""Seeded damage to files: what disks, networks and editors do to them."""

from collections.abc import Iterator

import numpy as np

Rng = np.random.Generator


def flip_bytes(content: bytes, rng: Rng) -> bytes:
    """One to eight bytes anywhere take other values."""
    damaged = np.frombuffer(content, np.uint8).copy()
    at = rng.choice(len(damaged), size=min(len(damaged), int(rng.integers(1, 9))), replace=False)
    damaged[at] ^= rng.integers(1, 256, size=at.size, dtype=np.uint8)
    return damaged.tobytes()


def flip_structure(content: bytes, rng: Rng) -> bytes:
    """One bit where the bytes are not those of weights: names, types, extents, lengths, tags."""
    damaged = bytearray(content)
    plain = [i for i in range(2, len(content) - 2) if small(content[i - 2 : i + 3])]
    damaged[int(rng.choice(plain))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def small(window: bytes) -> bool:
    return sum(byte < 128 for byte in window) >= 4


def truncate(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(1, len(content)))]


def remove_chunk(content: bytes, rng: Rng) -> bytes:
    start, end = chunk(content, rng)
    return content[:start] + content[end:]


def duplicate_chunk(content: bytes, rng: Rng) -> bytes:
    start, end = chunk(content, rng)
    return content[:end] + content[start:end] + content[end:]


def zero_chunk(content: bytes, rng: Rng) -> bytes:
    start, end = chunk(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def change_number(content: bytes, rng: Rng) -> bytes:
    """A small number, such as an extent, an axis, a type or an enum, becomes another."""
    small_bytes = [i for i, byte in enumerate(content) if byte < 17]
    at = int(rng.choice(small_bytes))
    return content[:at] + bytes([int(rng.choice([0, 1, 2, 3, 5, 7, 8, 16, 127]))]) + content[at + 1 :]


def change_letter(content: bytes, rng: Rng) -> bytes:
    """A letter of a name becomes another: values without a producer, unknown operators and attributes."""
    letters = [i for i in range(1, len(content) - 1) if content[i - 1 : i + 2].isalnum()]
    at = int(rng.choice(letters))
    return content[:at] + b"z" + content[at + 1 :]


def chunk(content: bytes, rng: Rng) -> tuple[int, int]:
    start = int(rng.integers(len(content) - 1))
    return start, min(len(content), start + int(rng.choice([1, 2, 4, 16, 100])))


DAMAGES = (
    flip_bytes,
    flip_structure,
    truncate,
    remove_chunk,
    duplicate_chunk,
    zero_chunk,
    change_number,
    change_letter,
)


def damaged_copies(content: bytes, count: int, *, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged copies of a file's bytes, each with a name that repeats it: "truncate-17"."""
    for i in range(count):
        damage = DAMAGES[i % len(DAMAGES)]
        yield f"{damage.__name__}-{i}", damage(content, np.random.default_rng((seed, i)))
