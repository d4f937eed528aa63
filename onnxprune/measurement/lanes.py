"""A model made ready to be timed: one call is one inference, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxprune.data.samples import Array
from onnxprune.measurement.providers import ON_GPU
from onnxprune.measurement.runtime import load_runtime
from onnxprune.measurement.session import Session, SessionSettings, make_session
from onnxprune.measurement.session_errors import model_problem
from onnxprune.measurement.timing import Run


@dataclass(frozen=True, eq=False)
class Contender:
    """A model and what it is run on.

    Args:
        name: In the report.
        model: The file, or the content of one without external data.
        feeds: One batch of inputs by name.
        macs: Of each node by name, to weigh providers by; None where not counted.
    """

    name: str
    model: Path | bytes
    feeds: Mapping[str, Array]
    macs: Mapping[str, int] | None = None


@dataclass(frozen=True, eq=False)
class Lane:
    """A contender in a session.

    Args:
        contender: The model.
        session: It, loaded.
        run: One inference; on a GPU with inputs and outputs that stay there.
        end_to_end: One inference with copies to and from the GPU; None on the CPU.
    """

    contender: Contender
    session: Session
    run: Run
    end_to_end: Run | None


def make_lane(contender: Contender, settings: SessionSettings) -> Lane:
    """The contender, loaded and run once.

    Raises:
        ModelError: E309, it does not run on its inputs.
        RuntimeProblem: E601, a required provider does not run.
    """
    session = make_session(contender.model, settings, macs=contender.macs, name=contender.name)
    feeds = {name: np.ascontiguousarray(array) for name, array in contender.feeds.items()}
    session.run(feeds)  # tells what is wrong; the bare calls below do not
    plain = host_run(session, feeds)
    if session.provider in ON_GPU:
        return Lane(contender, session, device_run(session, feeds, device="cuda"), plain)
    return Lane(contender, session, plain, None)


def host_run(session: Session, feeds: Mapping[str, Array]) -> Run:
    """One inference from and to numpy arrays."""
    handle, names, inputs = session.handle, list(session.output_names), dict(feeds)

    def run() -> None:
        handle.run(names, inputs)

    return run


def device_run(session: Session, feeds: Mapping[str, Array], *, device: str) -> Run:
    """One inference on tensors that lie on `device` ("cuda", "cpu"), until its outputs are there.

    Raises:
        ModelError: E309, the tensors cannot be put there or bound.
    """
    try:
        binding = _binding(session, feeds, device)
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise model_problem(session.name, error) from error
    handle = session.handle

    def run() -> None:
        handle.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def _binding(session: Session, feeds: Mapping[str, Array], device: str) -> Any:
    runtime = load_runtime()
    binding = session.handle.io_binding()
    for name, array in feeds.items():
        value = runtime.OrtValue.ortvalue_from_numpy(array, device, 0)
        binding.bind_ortvalue_input(name, value)
    for name in session.output_names:
        binding.bind_output(name, device, 0)
    binding.synchronize_inputs()
    return binding
