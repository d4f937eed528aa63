"""Numbers as people read them."""

UNITS = (("G", 10**9), ("M", 10**6), ("k", 10**3))


def si(value: float, unit: str = "") -> str:
    """300774272 -> 300.8 M."""
    for prefix, size in UNITS:
        if abs(value) >= size:
            return f"{value / size:.{1 if value / size >= 100 else 2}f} {prefix}{unit}"
    return f"{value:g} {unit}".rstrip()


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def dims(values: tuple[int | str | None, ...] | None) -> str:
    return "[?]" if values is None else "[" + ",".join("?" if v is None else str(v) for v in values) + "]"
