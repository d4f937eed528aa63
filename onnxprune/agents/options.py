"""An agent's options from what a user gave: names checked, numbers read from text."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from onnxprune.criteria import CRITERIA
from onnxprune.errors import UsageError

PRIOR = "prior"  # in place of a criterion: that of the search
Options = TypeVar("Options")


def read_options(kind: type[Options], given: Mapping[str, Any] | None) -> Options:
    """The options of an agent, the default where nothing was given.

    Args:
        kind: A frozen dataclass whose fields all have defaults: bool, int, float, str or a tuple of str.
        given: By name, with - or _; numbers may be text, tuples a text with commas.

    Raises:
        UsageError: E201, a name that the agent does not have; E202, a value that cannot be read or is
            refused.
    """
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in (given or {}).items():
        name = key.replace("-", "_")
        if name not in defaults:
            near = get_close_matches(name, defaults, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(defaults) or 'none'}"
            raise UsageError("E201", f"unknown option {key!r} of the agent", hint=hint)
        try:
            values[name] = read(value, defaults[name])
        except (TypeError, ValueError, OverflowError) as error:
            what = type(defaults[name]).__name__
            what += " and finite" if what in {"int", "float"} else ""
            raise UsageError("E202", f"option {key}={value!r}: must be of type {what}") from error
    try:
        return kind(**values)
    except ValueError as error:
        raise UsageError("E202", f"options of the agent: {error}") from error


def read(value: Any, default: Any) -> Any:
    """A value in the type of the default.

    Raises:
        ValueError: It cannot be read so.
    """
    if isinstance(default, bool):
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    if isinstance(default, int):
        if int(value) != float(value):
            raise ValueError(value)
        return int(value)
    if isinstance(default, tuple):
        parts = value.split(",") if isinstance(value, str) else list(value)
        return tuple(str(part).strip() for part in parts if str(part).strip())
    read = type(default)(value)
    if isinstance(read, float) and not isfinite(read):
        raise ValueError(value)
    return read


def require_choices(options: object) -> None:
    """Raises: ValueError: a field that is a choice between words has another value."""
    for name, hint in get_type_hints(type(options)).items():
        if get_origin(hint) is Literal:
            words = get_args(hint)
            require(getattr(options, name) in words, f"{name} is one of {', '.join(words)}")


def require_known_criterion(name: str) -> None:
    """Raises: ValueError: neither a criterion nor "prior"."""
    require(name in {PRIOR, *CRITERIA}, f"criterion is prior or one of {', '.join(CRITERIA)}, not {name!r}")


def require(holds: bool, what: str) -> None:
    """Raises: ValueError: what must hold of options does not."""
    if not holds:
        raise ValueError(what)
