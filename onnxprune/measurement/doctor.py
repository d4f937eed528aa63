"""What `onnxprune doctor [MODEL]` tells: whether this machine can do what is asked of it."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import TensorProto, helper

from onnxprune.errors import OnnxPruneError
from onnxprune.measurement.host import host_facts
from onnxprune.measurement.providers import why_not_active
from onnxprune.measurement.runtime import check_distributions, installed_distributions, load_runtime
from onnxprune.measurement.session import HINTS, SessionSettings, make_session
from onnxprune.onnx_file import read_model
from onnxprune.onnx_file.versions import newest_readable

State = Literal["ok", "warning", "error"]
NEEDED = ("numpy", "scipy", "onnx", "click", "rich")
OPTIONAL = ("torch", "torch-geometric", "pillow")
PROBED_OPSET, PROBED_IR = 17, 8


@dataclass(frozen=True)
class Check:
    """One fact and its judgement.

    Args:
        subject: What was looked at, such as "CUDAExecutionProvider".
        state: The judgement.
        text: What was found.
        hint: What to do about it.
    """

    subject: str
    state: State
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All facts; `error` is the first that makes measuring impossible."""

    checks: tuple[Check, ...]
    error: OnnxPruneError | None = None

    @property
    def healthy(self) -> bool:
        return all(check.state != "error" for check in self.checks)


def diagnose(model: Path | None = None, *, provider: str = "auto") -> Diagnosis:
    """The facts about this machine, and whether `model` runs on it.

    Never raises for what it finds: that is a check with state "error".

    Args:
        model: A file to try too.
        provider: auto, cpu, cuda, tensorrt, or a full name; one that is named must really run.
    """
    checks = [_version(name, needed=True) for name in NEEDED]
    checks += [_version(name, needed=False) for name in OPTIONAL]
    try:
        checks.append(_runtime())
    except OnnxPruneError as error:
        return Diagnosis((*checks, _failed("onnxruntime", error)), error)
    checks += [_versions_fit(), *_providers(), *_host()]
    try:
        return Diagnosis((*checks, *(_named(provider) if model is None else _model(model, provider))))
    except OnnxPruneError as error:
        return Diagnosis((*checks, _failed(provider if model is None else model.name, error)), error)


def _version(name: str, *, needed: bool) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(
            name, "error" if needed else "ok", "not installed", f"pip install {name}" if needed else ""
        )


def _runtime() -> Check:
    found = installed_distributions()
    check_distributions(found)
    runtime = load_runtime()
    directory = Path(runtime.__file__).resolve().parents[1]
    name = next((each.name for each in found if each.directory == directory), "onnxruntime")
    return Check(name, "ok", f"{runtime.__version__}, alone in {directory}")


def _versions_fit() -> Check:
    """Whether onnx writes by default what ONNX Runtime reads; the newest of both do not fit."""
    ir, opset = newest_readable("IR"), newest_readable("opset")
    if ir is None or opset is None:
        return Check("versions", "warning", "what ONNX Runtime reads could not be found out")
    reads = f"onnxruntime reads IR <= {ir.version}, opset <= {opset.version}"
    writes = f"onnx {onnx.__version__} writes IR {onnx.IR_VERSION}, opset {onnx.defs.onnx_opset_version()}"
    fits = ir.version >= onnx.IR_VERSION and opset.version >= onnx.defs.onnx_opset_version()
    hint = "" if fits else "models made with onnx's defaults do not load; state ir_version and opset"
    return Check("versions", "ok" if fits else "warning", f"{reads}; {writes}", hint)


def _providers() -> list[Check]:
    runtime = load_runtime()
    return [_provider(name, runtime) for name in runtime.get_available_providers()]


def _provider(name: str, runtime: Any) -> Check:
    """Whether a session really gets the provider; being listed as available proves nothing."""
    try:
        session = make_session(_one_node(), SessionSettings(provider=name))
    except OnnxPruneError as error:
        return _failed(name, error)
    if name not in session.handle.get_providers():
        cause = why_not_active(name, runtime)
        text = f"listed, but sessions run on {session.provider}{': ' if cause else ''}{cause}"
        return Check(name, "warning", text, HINTS.get(name, ""))
    runs = "loads and runs" if session.provider == name else "loads; a Relu runs elsewhere"
    return Check(name, "ok", runs)


def _host() -> list[Check]:
    facts = host_facts()
    where = f"{facts.processor}, {facts.processors} processors"
    used = f", {len(facts.affinity)} of them for this process" if facts.affinity else ""
    load = "" if facts.load_1m is None else f", load {facts.load_1m:.1f}"
    return [
        Check("machine", "ok", f"{where}{used}{load}"),
        *(Check("machine", "warning", warning) for warning in facts.warnings),
    ]


def _named(provider: str) -> list[Check]:
    """Whether a provider that was asked for runs one node."""
    if provider == "auto":
        return []
    session = make_session(_one_node(), SessionSettings(provider=provider, require=True), name="one Relu")
    return [Check(f"--provider {provider}", "ok", f"runs on {session.provider}")]


def _model(path: Path, provider: str) -> list[Check]:
    model = read_model(path)
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    session = make_session(path, SessionSettings(provider=provider, require=True))
    told = [Check(path.name, "warning", warning) for warning in session.warnings]
    text = f"IR {model.ir_version}, opset {opsets}; runs on {session.provider} (requested {provider})"
    return [Check(path.name, "ok", text), *told]


def _failed(subject: str, error: OnnxPruneError) -> Check:
    cause = f": {error.cause}" if error.cause else ""
    return Check(subject, "error", f"{error.code}: {error.message}{cause}", error.hint)


def _one_node() -> bytes:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "probe",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", PROBED_OPSET)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=PROBED_IR).SerializeToString()
    return content
