"""Options as flat keys such as "distill.epochs", and the TOML file that holds them.

schema = Schema("compress", CompressOptions, {"distill": DistillSettings}, required={"model": "the file"})
values = schema.read(Path("run.toml"))     {"target": ("macs=50%",), "distill.epochs": 20}
options = schema.make(values)
schema.write(Path("config.toml"), options)
"""

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from onnxprune.errors import UsageError
from onnxprune.runs.folder import RECORD, write_text

Values = dict[str, Any]
HEADER = "# Every option of this run, as it was resolved; `onnxprune {command} --config` reads it again.\n"
Options = TypeVar("Options")


@dataclass(frozen=True)
class Key:
    """One option.

    Attributes:
        name: Such as "distill.epochs".
        type: Of its value: str, int, float, bool or tuple.
        optional: It may be left unset.
        default: Where it is not given; MISSING for those that must be.
    """

    name: str
    type: type
    optional: bool
    default: Any

    def check(self, value: Any, place: str) -> Any:
        """The value in the key's type.

        Raises:
            UsageError: E201, of another type.
        """
        if self.type is tuple and isinstance(value, str):
            value = (value,)
        if self.type is tuple and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if value is None and self.optional:
            return None
        if type(value) is not self.type:
            kinds = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
            wanted = kinds.get(self.type, "a list of texts")
            raise UsageError("E201", f"{place}: {self.name} is {value!r}, want {wanted}")
        return value


def keys_of(section: str, options: type, sections: Collection[str] = ()) -> list[Key]:
    """The fields of a dataclass of options, but for those that are sections themselves."""
    hints = get_type_hints(options)
    found = []
    for field in fields(options):
        if field.name in sections:
            continue
        kinds = get_args(hints[field.name]) if isinstance(hints[field.name], UnionType) else ()
        kind = next((k for k in kinds if k is not NoneType), hints[field.name])
        name = f"{section}.{field.name}" if section else field.name
        found.append(Key(name, get_origin(kind) or kind, NoneType in kinds, field.default))
    return found


@dataclass(frozen=True)
class Schema(Generic[Options]):
    """The options of a command: a dataclass, some of whose fields are dataclasses themselves.

    Attributes:
        command: Its name.
        top: The dataclass.
        sections: Field of `top` -> its dataclass.
        required: Key that must be given -> what to give.
    """

    command: str
    top: type[Options]
    sections: Mapping[str, type]
    required: Mapping[str, str]

    @cached_property
    def keys(self) -> dict[str, Key]:
        """All of them, by name."""
        own = keys_of("", self.top, self.sections)
        inner = (key for section, options in self.sections.items() for key in keys_of(section, options))
        return {key.name: key for key in (*own, *inner)}

    def read(self, path: Path) -> Values:
        """The values that a TOML file gives, by key.

        Raises:
            UsageError: E201, it cannot be read, or has a key that is not known, with its line.
        """
        try:
            text = path.read_text("utf-8")
            tables = tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise UsageError("E201", f"{path} is no TOML file that can be read", cause=str(error)) from error
        values = {}
        for name, value in flattened(tables, self.keys).items():
            where = f"{path.name} line {line_of(text, name)}"
            if name in self.sections:
                raise UsageError("E201", f"{where}: {name} is {value!r}, want a table: [{name}]")
            if name not in self.keys:
                raise self._unknown(name, where)
            values[name] = self.keys[name].check(value, where)
        return values

    def _unknown(self, name: str, where: str) -> UsageError:
        near = get_close_matches(name, self.keys, n=1)
        last = name.rpartition(".")[2]
        other = [key for key in self.keys if key.rpartition(".")[2] == last]
        guess = (near or other or [""])[0]
        return UsageError(
            "E201",
            f"unknown key '{name}' in {where}" + (f"; did you mean '{guess}'?" if guess else ""),
            hint="" if guess else f"`onnxprune {self.command} --help` lists the options",
        )

    def make(self, values: Mapping[str, Any]) -> Options:
        """The options, defaults for all that is not given.

        Raises:
            UsageError: E201 or E202, something that must be given is missing.
        """
        for name, hint in self.required.items():
            if not values.get(name):
                code = "E202" if name == "target" else "E201"
                article = "" if name == "data" or name.endswith("s") else "a "
                raise UsageError(code, f"{self.command} needs {article}{name}", hint=hint)
        given = {name: value for name, value in values.items() if "." not in name}
        for section, options in self.sections.items():
            own = [key.name for key in keys_of(section, options) if key.name in values]
            given[section] = options(**{name.partition(".")[2]: values[name] for name in own})
        return self.top(**given)

    def values(self, options: Options) -> Values:
        """All values by key; the inverse of `make`."""
        values: Values = {}
        for name in self.keys:
            section, _, key = name.rpartition(".")
            values[name] = getattr(getattr(options, section) if section else options, key)
        return values

    def checked(self, options: Options) -> Options:
        """The same options, each in the type of its key: for those that were made in Python.

        Raises:
            UsageError: E201 or E202, a value of another type, or nothing where something must be given.
        """
        place = self.top.__name__
        for name, kind in self.sections.items():
            section = getattr(options, name)
            if not isinstance(section, kind):
                raise UsageError("E201", f"{place}: {name} is {section!r}, want {kind.__name__}(...)")
        values = self.values(options)
        return self.make({name: key.check(plain(values[name]), place) for name, key in self.keys.items()})

    def recorded(self, options: Options) -> Values:
        """All values by key as JSON has them."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in self.values(options).items()}

    def restored(self, recorded: Mapping[str, Any]) -> Values:
        """The values that `recorded` gave.

        Raises:
            UsageError: E208, it has a key that is not known, or a value of another type.
        """
        values = {}
        for name, value in recorded.items():
            try:
                values[name] = self.keys[name].check(value, RECORD)
            except (KeyError, UsageError) as error:
                cause = error.message if isinstance(error, UsageError) else f"unknown key '{name}'"
                raise UsageError(
                    "E208", f"{RECORD} is no record of a run", cause=cause, hint="start a new run"
                ) from error
        return values

    def write(self, path: Path, options: Options) -> None:
        """All values as TOML, atomically."""
        lines, section = [HEADER.format(command=self.command)], ""
        for name, value in self.values(options).items():
            own, _, key = name.rpartition(".")
            if own != section:
                section = own
                lines.append(f"\n[{section}]\n")
            lines.append(f"# {key} is not set\n" if value is None else f"{key} = {toml(value)}\n")
        write_text(path, "".join(lines))


def plain(value: Any) -> Any:
    """A value as a file would have it: paths are texts."""
    if isinstance(value, list | tuple):
        return tuple(plain(one) for one in value)
    return str(value) if isinstance(value, PurePath) else value


def flattened(tables: Mapping[str, Any], keys: Collection[str]) -> Values:
    """Tables one level deep as "section.key"."""
    values: Values = {}
    for name, value in tables.items():
        if isinstance(value, dict) and name not in keys:
            values |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            values[name] = value
    return values


def line_of(text: str, name: str) -> int:
    """Where a key stands, counted from 1; 1 where it is written in some other way."""
    wanted, _, key = name.rpartition(".")
    in_section = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    dotted = re.compile(rf"\s*{re.escape(name)}\s*=")
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if header:
            section = header[1].strip("\"'")
        elif (section == wanted and in_section.match(line)) or (not section and dotted.match(line)):
            return number
    return 1


def toml(value: Any) -> str:
    """A value as TOML writes it; strings of JSON are strings of TOML, save for one control character."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first key whose values differ, as "distill.epochs 60, got 5"; "" where none does."""
    for name, value in new.items():
        if old.get(name) != value:
            return f"{name} {shown(old.get(name))}, got {shown(value)}"
    return ""


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return "none" if value is None else str(value)
