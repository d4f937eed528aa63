"""What `--force` replaces: set aside until the new run gets anywhere, put back if it fails before."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxprune.runs.folder import RECORD, clear

ASIDE = ".replaced"
GONE = ".onnxprune-replaced"  # one of `half_written`


def set_aside(path: Path, names: Iterable[str]) -> None:
    """Move a run's files into a folder below it, in place; nothing where there is no run.

    run.json goes first and comes back last: where it is missing, `put_back` has work to do.

    Args:
        path: The folder of the run.
        names: Of all files and folders that runs of the command write, but run.json.
    """
    put_back(path)  # what a run that got nowhere had replaced
    found = [name for name in (RECORD, *names) if (path / name).exists()]
    if found:
        (path / ASIDE).mkdir()
    for name in found:
        (path / name).replace(path / ASIDE / name)


def put_back(path: Path) -> None:
    """Undo `set_aside`, in place; what the new run wrote in their places is removed."""
    aside = path / ASIDE
    if not aside.is_dir():
        return
    if not any(aside.iterdir()):  # a process died before the first file was moved, or after the last
        aside.rmdir()
        return
    (path / RECORD).unlink(missing_ok=True)
    for entry in sorted(aside.iterdir(), key=lambda entry: entry.name == RECORD):
        clear([path / entry.name])
        entry.replace(path / entry.name)
    aside.rmdir()


def let_go(path: Path | str) -> None:
    """Remove what was set aside, in place; it is out of reach at once, whatever interrupts the removal."""
    path = Path(path)
    clear([path / GONE])
    if (path / ASIDE).is_dir():
        (path / ASIDE).rename(path / GONE)
        clear([path / GONE])


@contextmanager
def kept_on_failure(path: Path | str) -> Iterator[None]:
    """What was set aside and not let go comes back if the block fails; an interrupted run can go on.

    Who uses it keeps other processes out: what fails there must not be that another one works here.
    """
    try:
        yield
    except Exception:
        put_back(Path(path))
        raise
