"""Many pieces of work, each once: here one after the other, or in other processes side by side.

A process that dies takes the others of its pool along. All that was under way then is a suspect: it is done
again at the end, each by itself, so that what is too large for the machine fails alone.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from onnxprune.evaluation.workers import Workers
from onnxprune.runs.folder import RunFolder, clear
from onnxprune.runs.replaced import let_go
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
        let_go(run.path)  # what the study replaces
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
    """Each in one of so many processes, as they end; suspects last."""
    workers, todo, suspects = Workers(count), deque(jobs), list[Job]()
    flying: dict[Future[Outcome], Job] = {}
    try:
        while todo or flying:
            while todo and len(flying) < count:
                job = todo.popleft()
                flying[workers.submit(work, job)] = job
            ended = wait(flying, return_when=FIRST_COMPLETED).done
            if any(isinstance(future.exception(), BrokenExecutor) for future in ended):
                ended = wait(flying).done
                workers.renew()
            for future in ended:
                job, outcome = flying.pop(future), outcome_of(future)
                if outcome is None:
                    suspects.append(job)
                else:
                    yield job, outcome
        for job in suspects:
            yield job, by_itself(job, workers)
    finally:
        workers.renew()


def by_itself(job: Job, workers: Workers) -> Outcome:
    """Of a piece of work whose process died once, maybe by another's fault."""
    for _ in range(TRIES - 1):
        outcome = outcome_of(workers.submit(work, job))
        if outcome is not None:
            return outcome
        workers.renew()
    return Outcome(FAILED, f"its process died {TRIES} times", 1)


def outcome_of(future: Future[Outcome]) -> Outcome | None:
    """Waits for it; None where its process died."""
    error = future.exception()
    if error is None:
        return future.result()
    return None if isinstance(error, BrokenExecutor) else Outcome(FAILED, f"it did not come back: {error}", 1)
