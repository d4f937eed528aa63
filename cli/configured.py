"""Options that are keys of a configuration, each unset unless it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click

from onnxprune.runs.config import Key, Values

Function = Callable[..., Any]


@dataclass(frozen=True)
class Told:
    """What the command line says of keys.

    Attributes:
        texts: Key -> what stands for its value, and what it means.
        keys: Of the configuration.
        flags: Key -> its flag, where that is not the last word of the key.
        aliases: Key -> another name of the flag.
    """

    texts: Mapping[str, tuple[str, str]]
    keys: Mapping[str, Key]
    flags: Mapping[str, str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def flag_of(self, name: str) -> str:
        return self.flags.get(name, f"--{name.rpartition('.')[2].replace('_', '-')}")

    def word_of(self, name: str, value: Any) -> str:
        """What stands on the command line for a value, without it: of flags that come in two, one."""
        yes, _, no = self.flag_of(name).partition("/")
        return no if no and value is False else yes


def words_of(told: Told, section: str) -> set[str]:
    """Names of the options of a section, both of those that come in two."""
    flags = (told.flag_of(name) for name in told.texts if name.partition(".")[0] == section)
    return {flag.lstrip("-") for pair in flags for flag in pair.split("/")}


def configured_options(told: Told) -> Callable[[Function], Function]:
    """Adds all of them; the command gets those that were given as one `given`, by key."""
    names = {key: key.replace(".", "__") for key in told.texts}

    def decorate(function: Function) -> Function:
        @wraps(function)
        def taking(**values: Any) -> Any:
            found = {key: values.pop(name) for key, name in names.items()}
            given: Values = {key: value for key, value in found.items() if value not in (None, ())}
            return function(given=given, **values)

        run: Function = taking
        for key in reversed(list(told.texts)):
            run = option_of(told, key, names[key])(run)
        return run

    return decorate


def option_of(told: Told, name: str, parameter: str) -> Callable[[Function], Function]:
    metavar, text = told.texts[name]
    key = told.keys[name]
    flag = told.flag_of(name)
    default = key.default
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default:
        text = f"{text}  [default: {default}]"
    if key.type is bool:
        pair = "/" in flag and default is not None
        shown = f"  [default: {flag.split('/')[not default][2:]}]" if pair else ""
        return click.option(flag, parameter, is_flag=True, default=None, help=text + shown)
    many = key.type is tuple
    return click.option(
        *(flag, *([told.aliases[name]] if name in told.aliases else [])),
        parameter,
        type=str if many else key.type,
        multiple=many,
        default=None,
        metavar=metavar,
        help=text,
    )
