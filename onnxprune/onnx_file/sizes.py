"""Bytes as people read them."""

BYTES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def size(count: float) -> str:
    """A number of bytes with the unit that fits.

    >>> size(13941000), size(100)
    ('13.3 MiB', '100 B')
    """
    for unit, step in BYTES:
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count:g} B"
