"""How a run begins and goes on: where what it reads lies, and what is recorded at once."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.errors import UsageError
from onnxprune.runs.config import Options, Schema, Values, first_difference
from onnxprune.runs.folder import Document, RunFolder, now
from onnxprune.runs.versions import versions


def whole_path(spec: str) -> str:
    """What samples are named by, from any folder; a function keeps its name."""
    return str(Path(spec).absolute()) if Path(spec).exists() else spec


def require_apart(specs: Iterable[str | None], folder: Path | str, ours: Iterable[str]) -> None:
    """Whether what a run reads lies where it will not be overwritten.

    Args:
        specs: What it reads.
        folder: Of the run.
        ours: Names of all files and folders that it may write there.

    Raises:
        UsageError: E203, one is a file of a run in the same folder.
    """
    written = [(Path(folder) / name).resolve() for name in ours]
    for spec in specs:
        path = None if spec is None else Path(spec).resolve()
        if path is not None and any(path == own or own in path.parents for own in written):
            raise UsageError(
                "E203", f"{spec} is a file of the run in {folder}, which --force removes", hint="another -o"
            )


@dataclass(frozen=True)
class Asked:
    """What a run is to do.

    Attributes:
        command: Of the run.
        argv: Words of the command line.
        seed: Of every random choice.
        sha256: Of what it reads.
        options: As its schema records them.
    """

    command: str
    argv: Sequence[str]
    seed: int
    sha256: Document
    options: Document


def first_record(asked: Asked, processor: Any) -> Document:
    """What run.json says of a run that begins on this machine."""
    return {
        "command": asked.command,
        "argv": list(asked.argv),
        "started": now(),
        "ended": None,
        "versions": versions(),
        "processor": processor,
        "seed": asked.seed,
        "sha256": asked.sha256,
        "options": asked.options,
    }


def options_again(
    run: RunFolder,
    schema: Schema[Options],
    given: Values,
    *,
    located: Callable[[Options], Options],
    free: Collection[str],
) -> Options:
    """The options of a run that goes on, with those that were given again.

    Args:
        run: From `open_run`.
        schema: Of its options.
        given: Options that were given again, by key.
        located: The same options with whole paths.
        free: Keys that may change.

    Raises:
        UsageError: E208, another one is not what it was, or the run is of a version with other options.
    """
    made_for = schema.restored(run.record["options"])
    unknown = [name for name in schema.keys if name not in made_for]
    if unknown:
        raise UsageError(
            "E208",
            f"{run.path}: another version made this run, one without {unknown[0]}",
            hint="finish it with the version that run.json names, or start a new run",
        )
    options = located(schema.make({**made_for, **given}))
    again = schema.values(options)
    fixed = [{k: v for k, v in values.items() if k not in free} for values in (made_for, again)]
    difference = first_difference(*fixed)
    if difference:
        raise UsageError(
            "E208", f"{run.path}: run was made for {difference}", hint="start a new run with another -o"
        )
    return options
