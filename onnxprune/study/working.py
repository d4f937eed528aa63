"""What a worker does: one search, or one model of what a search found. Both go on where they stopped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnxprune.compression import compress
from onnxprune.compression import config as compression_config
from onnxprune.compression import listener as compression_listener
from onnxprune.compression import resume as resume_compression
from onnxprune.compression import start as start_compression
from onnxprune.errors import OnnxPruneError
from onnxprune.latency import LatencyTable
from onnxprune.runs.folder import RECORD, clear, read_json
from onnxprune.search import Listener as SearchListener
from onnxprune.search import SearchOptions, search
from onnxprune.search import resume as resume_search
from onnxprune.search import start as start_search
from onnxprune.search.inputs import open_all
from onnxprune.search.journal import CURVE, FOLDER
from onnxprune.search.listener import never, unheard
from onnxprune.search.options import SCHEMA as SEARCH_SCHEMA
from onnxprune.study.cells import MODELS, SEARCHES, SUMS, TABLES, Cell, Row, named
from onnxprune.study.options import StudyOptions
from onnxprune.target import parse_target

DONE, MISSED, FAILED = "done", "missed", "failed"
KEPT = (DONE, MISSED)  # what is not tried again
MISSES = ("E701", "E702")  # no masks meet the target; a training that diverged (E703) is none of these
RESULTS = {
    SEARCHES: ("search.json", "masks.json", f"{FOLDER}/{CURVE}"),
    MODELS: ("measurement.json", "choice.json"),
}


@dataclass(frozen=True)
class Job:
    """One piece of work; it travels to other processes.

    Attributes:
        kind: SEARCHES or MODELS.
        cell: Which.
        options: Of the study.
        study: Its folder.
        argv: Words of the command line, for the record.
        trained: The model is trained.
    """

    kind: str
    cell: Cell
    options: StudyOptions = field(repr=False)
    study: Path
    argv: Sequence[str] = ()
    trained: bool = False

    @property
    def name(self) -> str:
        """Of its folder in the study."""
        return f"{self.kind}/{self.cell.name}"

    @property
    def sums(self) -> Path:
        """Folder of what the searches on one model from one seed share: sums and scores."""
        return self.study / SUMS / named(self.cell.row.stem, f"s{self.cell.seed}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Files of the study that it begins with."""
        return (f"{SEARCHES}/{self.cell.name}/masks.json",) if self.kind == MODELS else ()

    @property
    def writes(self) -> tuple[str, ...]:
        """Files of the study that are its result."""
        return tuple(f"{self.name}/{file}" for file in RESULTS[self.kind])


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Attributes:
        state: DONE, MISSED (no candidate met the target) or FAILED.
        why: Where it was not done.
        exit_code: Of the error; 0 without one.
    """

    state: str
    why: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Ear:
    """Who is asked whether to stop, where the work is done in this process."""

    stop: Callable[[], bool] = never
    saving: Callable[[bool], None] = unheard


def work(job: Job, ear: Ear | None = None) -> Outcome:
    """Do it, or what is left of it; whatever goes wrong is the outcome, so that the others go on.

    Raises:
        KeyboardInterrupt: The state is saved.
    """
    ear = ear or Ear()
    try:
        (search_cell if job.kind == SEARCHES else make_model)(job, ear)
    except OnnxPruneError as error:
        state = MISSED if error.code in MISSES else FAILED
        return Outcome(state, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - one search that fails must not end a study of days
        return Outcome(FAILED, f"{type(error).__name__}: {error}", OnnxPruneError.exit_code)
    return Outcome(DONE)


def search_cell(job: Job, ear: Ear) -> None:
    """The search of a cell, in a folder that `onnxprune search --resume` knows."""
    asked, folder = job.cell.search(job.options), job.study / job.name
    if (folder / RECORD).exists():
        run = resume_search(folder, SEARCH_SCHEMA.values(asked))
    else:  # killed before it was a run
        clear([folder] if folder.exists() else [])
        run = start_search(asked, folder, job.argv, opened=open_all(asked, table_of(job, asked)))
    search(run, SearchListener(stop=ear.stop, saving=ear.saving), kept=job.sums)


def table_of(job: Job, asked: SearchOptions) -> LatencyTable | None:
    """What the study measured of the latency, the same for all agents; None where it is not bounded."""
    if not parse_target(asked.target).times:
        return None
    return LatencyTable.from_json(read_json(table_file(job.study, job.cell.row)))


def table_file(study: Path, row: Row) -> Path:
    return study / TABLES / f"{row.case}.json"


def make_model(job: Job, ear: Ear) -> None:
    """The model of a cell, in a folder that `onnxprune compress --resume` knows."""
    asked, folder = job.cell.compression(job.options, job.study, trained=job.trained), job.study / job.name
    if (folder / RECORD).exists():
        run = resume_compression(folder, compression_config.values_of(asked))
    else:
        clear([folder] if folder.exists() else [])
        run = start_compression(asked, folder, job.argv)
    compress(run, compression_listener.Listener(stop=ear.stop, saving=ear.saving))
