"""A model in ONNX Runtime, with the provider that really runs it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.data.samples import Array
from onnxprune.errors import RuntimeProblem
from onnxprune.measurement.providers import (
    CPU,
    CUDA,
    ENOUGH,
    TENSORRT,
    Shares,
    assignment_of,
    requested_providers,
    spread,
    why_not_active,
)
from onnxprune.measurement.runtime import load_runtime
from onnxprune.measurement.session_errors import model_problem, plain_text

HINTS = {
    CUDA: "it needs CUDA 13 and cuDNN 9: pip install 'onnxruntime-gpu[cuda,cudnn]'; see `onnxprune doctor`",
    TENSORRT: "it needs CUDA 13, cuDNN 9 and TensorRT 10 where the system finds them; see `onnxprune doctor`",
}


@dataclass(frozen=True)
class SessionSettings:
    """How a session is made.

    Args:
        provider: auto, cpu, cuda, tensorrt, or a full provider name.
        require: Fail where another provider runs the model instead.
        threads: Of one operator; 1 makes process CPU time a latency.
        optimize: All graph optimisations of ONNX Runtime, or none.
        optimized_path: Where to write the graph that ONNX Runtime made of the model.
        profile_prefix: Where to write a profile; its name is completed by ONNX Runtime.
        external_folder: Where the external data of a model in memory lies.
    """

    provider: str = "auto"
    require: bool = False
    threads: int = 1
    optimize: bool = True
    optimized_path: Path | None = None
    profile_prefix: Path | None = None
    external_folder: Path | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """A loaded model.

    Args:
        handle: ONNX Runtime's own session.
        name: Of the model, for messages.
        settings: What was asked for.
        provider: What really runs the largest share of it.
        shares: Spread over providers; None where ONNX Runtime cannot tell.
        warnings: What the user should know of that.
    """

    handle: Any
    name: str
    settings: SessionSettings
    provider: str
    shares: Shares | None
    warnings: tuple[str, ...] = ()

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.handle.get_outputs())

    @property
    def static_batch(self) -> int | None:
        """The only batch size that the model takes, where it declares one."""
        extents = {value.shape[0] for value in self.handle.get_inputs() if value.shape}
        fixed = {extent for extent in extents if isinstance(extent, int)}
        return fixed.pop() if len(fixed) == 1 else None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name.

        Raises:
            ModelError: E309, the model does not run on these inputs.
        """
        names = self.output_names
        try:
            values = self.handle.run(names, dict(inputs))
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise model_problem(self.name, error) from error
        return dict(zip(names, values, strict=True))


def make_session(
    model: Path | bytes,
    settings: SessionSettings | None = None,
    *,
    macs: Mapping[str, int] | None = None,
    name: str = "",
) -> Session:
    """The model, loaded with exactly the providers asked for.

        session = make_session(Path("model.onnx"), SessionSettings(provider="cuda", require=True))
        session.provider, session.shares.of  ->  "CUDAExecutionProvider", {"CUDAExecutionProvider": 1.0}

    Args:
        model: The file, or the content of one without external data.
        settings: Provider, threads, optimisation.
        macs: MACs of each node by name, to weigh the share of each provider.
        name: Of the model in messages; else that of the file.

    Raises:
        ModelError: E301 missing, E307 IR or E308 opset too new, E309 does not run.
        UnsupportedError: E401, an operator that ONNX Runtime does not know.
        RuntimeProblem: E601, a required provider is not active; E602 two ONNX Runtimes; E603 none.
    """
    settings = settings or SessionSettings()
    name = name or (model.name if isinstance(model, Path) else "the model")
    wanted = _wanted(settings.provider)
    source = str(model) if isinstance(model, Path) else model
    loaded = _load(source, settings, wanted, name)
    shares = spread(assignment_of(loaded.handle), macs)
    active = loaded.handle.get_providers()
    told = _fallback(wanted[0], active, shares)
    if told and settings.require and settings.provider != "auto":
        hint = HINTS.get(wanted[0], "")
        raise RuntimeProblem("E601", f"{name}: {told}", cause=loaded.cause, hint=hint)
    told = told or _small_share(wanted[0], shares)
    warning = f"W601: {told}{': ' if loaded.cause else ''}{loaded.cause}"
    loud = told and settings.provider != "auto"
    provider = shares.main if shares else active[0]
    return Session(loaded.handle, name, settings, provider, shares, (warning,) if loud else ())


@dataclass(frozen=True)
class _Loaded:
    """ONNX Runtime's session, and why it came up without the best provider, if it did."""

    handle: Any
    cause: str


def _wanted(provider: str) -> list[str]:
    """Providers to ask for, best first; auto asks for none that is known not to run."""
    runtime = load_runtime()
    wanted = requested_providers(provider, runtime.get_available_providers())
    if provider != "auto":
        return list(wanted)
    return [name for name in wanted if not why_not_active(name, runtime)]


def _fallback(wanted: str, active: list[str], shares: Shares | None) -> str:
    """How it shows that `wanted` runs nothing at all; "" where it runs something."""
    if wanted not in active:
        return f"{wanted} requested, but the session runs on {active[0]}"
    if shares is not None and not shares.of.get(wanted):
        return f"{wanted} requested and active, but {shares.main} runs all of the {shares.weighted_by}"
    return ""


def _small_share(wanted: str, shares: Shares | None) -> str:
    """How it shows that much of the work runs elsewhere; nodes alone tell nothing of that."""
    if shares is None or shares.weighted_by == "nodes" or shares.of[wanted] >= ENOUGH:
        return ""
    rest = ", ".join(f"{part:.0%} on {name}" for name, part in shares.of.items() if name != wanted)
    return f"{wanted} requested, but only {shares.of[wanted]:.0%} of the MACs run on it ({rest})"


def _load(source: str | bytes, settings: SessionSettings, wanted: list[str], name: str) -> _Loaded:
    """The session, without those providers that are known not to run: asked for, they fill stderr.

    What shows only now is dropped one by one. ONNX Runtime's own fallback is off: it prints to stdout.
    """
    runtime = load_runtime()
    reasons = {provider: why_not_active(provider, runtime) for provider in wanted}
    possible = [provider for provider in wanted if not reasons[provider]] or [CPU]
    while True:
        try:
            return _Loaded(_inference_session(source, settings, possible), reasons[wanted[0]])
        except Exception as error:  # ONNX Runtime's errors have no common base
            if possible == [CPU]:
                raise model_problem(name, error, source) from error
            reasons[possible.pop(0)] = plain_text(error)


def _inference_session(source: str | bytes, settings: SessionSettings, providers: list[str]) -> Any:
    runtime = load_runtime()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever matters is told by this module's own checks
        return runtime.InferenceSession(source, _options(settings), providers=providers, enable_fallback=0)


def _options(settings: SessionSettings) -> Any:
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # the error itself is raised, and told once
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Threads that spin between runs would take the processor from the model that runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not settings.optimize:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if settings.optimized_path is not None:
        _write_optimized(options, settings.optimized_path)
    if settings.profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(settings.profile_prefix)
    if settings.external_folder is not None:
        folder = str(settings.external_folder.resolve())
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return options


def _write_optimized(options: Any, path: Path) -> None:
    """Weights go to a file of their own: together they may exceed what one protobuf can hold."""
    options.optimized_model_filepath = str(path)
    prefix = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{prefix}_file_name", path.name + ".data")
    options.add_session_config_entry(f"{prefix}_min_size_in_bytes", "1024")
