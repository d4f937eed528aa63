"""Many pieces of work, each once: here one after the other, or in other processes side by side."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor

from onnxprune.evaluation.workers import Workers, waiting_for
from onnxprune.runs.folder import RunFolder, clear
from onnxprune.study.listener import Listener
from onnxprune.study.working import DONE, FAILED, KEPT, Ear, Job, Outcome, work

TRIES = 3  # of a piece of work whose process died


def finished(run: RunFolder, job: Job) -> bool:
    """Whether a piece of work need not be done again: its files, and what it read, are what they were."""
    box = run.box(job.name)
    return (
        box.get("state") in KEPT
        and run.hashes(job.reads) == box.get("reads")
        and run.hashes(job.writes) == box.get("outputs")
    )


def do_all(run: RunFolder, jobs: Sequence[Job], listener: Listener, *, workers: int) -> None:
    """Do what is not done yet; how each ended is recorded, in place.

    Raises:
        KeyboardInterrupt: What is under way is saved, or goes on from its last checkpoint.
    """
    todo = [job for job in jobs if not finished(run, job)]
    done = len(jobs) - len(todo)
    sharing = Counter(job.sums for job in todo)
    listener.step(done, len(jobs))
    for job, outcome in side_by_side(todo, workers) if workers > 1 else in_turn(todo, listener):
        run.set_box(
            job.name,
            state=outcome.state,
            why=outcome.why,
            exit_code=outcome.exit_code,
            reads=run.hashes(job.reads),
            outputs=run.hashes(job.writes),
        )
        done += 1
        sharing[job.sums] -= 1
        if not sharing[job.sums]:
            clear([job.sums])
        tell(job, outcome, listener)
        listener.step(done, len(jobs))


def tell(job: Job, outcome: Outcome, listener: Listener) -> None:
    row = job.cell.row
    name = f"{row.stem} {row.target} {row.agent} seed {job.cell.seed}"
    if outcome.state == DONE:
        listener.note(f"[{job.kind}] {name}: done")
    else:
        listener.warn(f"{name}: {outcome.state}: {outcome.why}")


def in_turn(jobs: Sequence[Job], listener: Listener) -> Iterator[tuple[Job, Outcome]]:
    """Each in this process."""
    for job in jobs:
        yield job, work(job, Ear(listener.stop, listener.saving))


def side_by_side(jobs: Sequence[Job], count: int) -> Iterator[tuple[Job, Outcome]]:
    """Each in one of so many processes, as they end; those whose process died are tried again."""
    workers, left = Workers(count), list(jobs)
    try:
        for attempt in range(1, TRIES + 1):
            died = []
            futures = {number: workers.submit(work, job) for number, job in enumerate(left)}
            for number, found in waiting_for(futures):
                if isinstance(found, Outcome):
                    yield left[number], found
                elif isinstance(found, BrokenExecutor) and attempt < TRIES:
                    died.append(left[number])
                else:
                    yield left[number], Outcome(FAILED, f"its process died: {found}", 1)
            left = died
            workers.renew()
            if not left:
                return
    finally:
        workers.renew()
