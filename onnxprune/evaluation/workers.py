"""Processes behind the interface of concurrent.futures: started late, replaced when they die, never left."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import wait
from typing import Any, TypeVar

from onnxprune.errors import RuntimeProblem, UsageError

Result = TypeVar("Result")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Workers:
    """An executor of our own processes, or one that was handed in."""

    def __init__(self, count: int, executor: Executor | None = None) -> None:
        """Nothing starts here.

        Args:
            count: Processes, where no executor is handed in.
            executor: Runs everything; it is never ended.
        """
        self._count = count
        self._given = executor
        self._own: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """A call of a function in a worker; where that fails at once, so does the future."""
        try:
            with one_thread():
                return self._executor().submit(function, *arguments)
        except Exception as error:  # noqa: BLE001 - a broken pool says so here or in the future
            failed: Future[Result] = Future()
            failed.set_exception(error)
            return failed

    def _executor(self) -> Executor:
        if self._given is not None:
            return self._given
        if self._own is None:
            context = multiprocessing.get_context("spawn")  # ONNX Runtime's threads do not survive a fork
            self._own = ProcessPoolExecutor(self._count, context, initializer=prepare)
        return self._own

    def renew(self) -> None:
        """End all processes of our own, whatever they do; new ones start when they are needed; in place."""
        if self._own is not None:
            kill(self._own)
            self._own = None


def kill(executor: ProcessPoolExecutor) -> None:
    """End an executor's processes at once: what they were doing does not matter any more."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    for process in processes:
        process.terminate()
    executor.shutdown(wait=True, cancel_futures=True)


def prepare() -> None:
    """In a new worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=follow_parent, daemon=True).start()


def follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that start meanwhile compute with one thread each: else they stand in each other's way."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def waiting_for(futures: Mapping[int, Future[Result]]) -> Iterator[tuple[int, Result | BaseException]]:
    """Number and result of each as it comes; or what went wrong on the way, where no result came back."""
    numbers = {future: number for number, future in futures.items()}
    for future in as_completed(numbers):
        try:
            yield numbers[future], future.result()
        except Exception as error:  # noqa: BLE001 - of executors: a broken pool, a lost node, a timeout
            yield numbers[future], error


def check_scheduler(address: str) -> None:
    """Whether a Dask scheduler can be asked for at an address; nobody is asked.

    Raises:
        RuntimeProblem: E603, `distributed` is not installed.
        UsageError: E201, it is no address.
    """
    try:
        comm = import_module("distributed").comm
    except ImportError as error:
        raise RuntimeProblem(
            "E603",
            "the package distributed is not installed",
            cause=str(error),
            hint='pip install "onnxprune[distributed]"',
        ) from error
    try:
        comm.get_address_host_port(address)
    except ValueError as error:
        raise UsageError(
            "E201",
            f"{address!r} is no address of a Dask scheduler",
            cause=str(error),
            hint="--scheduler tcp://10.0.0.5:8786",
        ) from error


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster, by the address of its scheduler, such as tcp://10.0.0.5:8786.

    Raises:
        RuntimeProblem: E603, `distributed` is not installed; E607, nothing answers there.
        UsageError: E201, it is no address.
    """
    check_scheduler(address)  # a client that cannot begin there would try for long to end
    try:
        client = import_module("distributed").Client(address, set_as_default=False, timeout="20s")
    except (OSError, ValueError, TypeError) as error:
        raise RuntimeProblem(
            "E607",
            f"no Dask scheduler answers at {address!r}",
            cause=str(error),
            hint="start one: dask scheduler",
        ) from error
    with client:
        yield client.get_executor(pure=False)
