"""A run in one document: what the table, the report and --json are made of."""

from typing import Any

from onnxprune.compression.files import RESULT
from onnxprune.compression.stages import Stage, stages_of
from onnxprune.runs.folder import Document, RunFolder, read_json


def summary_of(run: RunFolder) -> dict[str, Any]:
    """All that a finished run found.

    Raises:
        UsageError: E208, a file of it is missing.
    """
    base, choice, measured, latency = (
        read_json(run.path / f"{name}.json") for name in ("baseline", "choice", "measurement", "latency")
    )
    compared, runs_on = latency["comparisons"][0], latency["models"][1]["provider"]
    return {
        "run": str(run.path),
        "status": run.record["status"],
        "final": {"from": choice["final"], "path": str(run.path / "final.onnx")},
        "metric": measured["metric"],
        "rows": base["rows"],
        "targets": measured["targets"],
        "search": searched(run),
        "stages": staged(run, measured["metric"]),
        "models": models_of(base, choice, measured, latency),
        "latency": {
            "ratio": compared["wall_ratio"] if compared["cpu_ratio"] is None else compared["cpu_ratio"],
            "verdict": compared["verdict"],
            "clock": latency["drawn_from"],
            "control": latency["control"],
            "provider": runs_on,
            "threads": latency["threads"],
            "batch": latency["batch"],
        },
        "boxes": {
            name: {key: box.get(key) for key in ("state", "why", "seconds")}
            for name, box in run.record["boxes"].items()
        },
        "sha256": run.record["sha256"],
    }


def searched(run: RunFolder) -> dict[str, Any] | None:
    """Who chose the masks, and what they were worth where they were chosen; None where nothing was searched.

    Raises:
        UsageError: E208, its result is missing.
    """
    if run.box("search").get("state") != "done":
        return None
    found = read_json(run.path / RESULT)
    return {
        "agent": found["options"]["agent"],
        "metric": found["metric"],
        **{key: found[key] for key in ("prior", "splits", "targets")},
        **{key: found["history"][key] for key in ("evaluations", "distinct", "failed", "seconds")},
        "original": {key: found["original"][key] for key in ("reward", "selection")},
        "best": {key: found["best"][key] for key in ("reward", "selection", "episode", "note")},
    }


def staged(run: RunFolder, metric: str) -> list[dict[str, Any]]:
    """What each stage came to; [] where there was only one.

    Raises:
        UsageError: E208, a file of one is missing.
    """
    count = run.record["options"].get("stages.count", 1)
    return [stage_document(run, stage, metric) for stage in stages_of(count)] if count > 1 else []


def stage_document(run: RunFolder, stage: Stage, metric: str) -> dict[str, Any]:
    folder = run.path / stage.folder
    pruned, choice = (read_json(folder / f"{name}.json") for name in ("prune", "choice"))
    trained = run.box(f"{stage.folder}distill").get("state") == "done"
    return {
        "stage": stage.number,
        "targets": pruned["targets"],
        "cost": pruned["after"],
        "final": choice["final"],
        "search": choice["search"][choice["final"]][metric],
        "teacher": read_json(folder / "distill.json")["teacher"] if trained else None,
    }


def models_of(
    base: Document, choice: Document, measured: Document, latency: Document
) -> list[dict[str, Any]]:
    """The original and the candidates, each with its cost and its figures."""
    search = {"original": base["search"], **choice["search"]}
    first, second = latency["models"]
    return [
        {
            "name": name,
            "final": name == choice["final"],
            **found["cost"],
            "file_bytes": found["file_bytes"],
            "search": search[name],
            "test": found["test"],
            "latency_ms": p50(first if name == "original" else second),
        }
        for name, found in measured["models"].items()
    ]


def p50(model: dict[str, Any]) -> float:
    found: float = (model["cpu"] or model["wall"])["p50_ms"]
    return found
