"""report.md: what a person reads of a run."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from onnxprune.compression.summary import summary_of
from onnxprune.compression.work import Work
from onnxprune.runs.folder import Document, read_json, write_text

FRACTIONS = ("top1", "top5", "agreement")
NAMES = {"student": "distilled"}
NO_FIGURE = "-"


def report_box(work: Work) -> tuple[str, ...]:
    """report.md: verdict, table, keep ratios, training, environment, and what limits the figures."""
    path = work.at("report.md")
    write_text(path, "\n".join(lines_of(work)) + "\n")
    return (path.name,)


def lines_of(work: Work) -> Iterator[str]:
    """The whole report, line by line."""
    summary, record = summary_of(work.run), work.run.record
    yield f"# {work.graph.path.name}, compressed"
    yield ""
    yield from verdict(summary)
    yield from models_table(summary)
    yield from stages(summary)
    yield from search(summary, record)
    yield from keep_ratios(work)
    yield from training(work)
    yield from boxes_table(record)
    yield from honesty(summary, record)
    yield from environment(record)


def verdict(summary: Document) -> Iterator[str]:
    final = find(summary["models"], summary["final"]["from"])
    original = find(summary["models"], "original")
    metric, latency = summary["metric"], summary["latency"]
    before, after = original["test"][metric], final["test"][metric]
    for target in summary["targets"]:
        state = "met" if target["met"] else "**missed**"
        told = target.get("measured") or f"{100 * target['share']:.1f} % left"
        yield f"- Target `{target['target']}`: {state}, {told}."
    yield f"- {metric} on the test part: {figure(metric, after)}, the original's is {figure(metric, before)}."
    yield (
        f"- Latency: {latency['ratio']:.2f}x the original's, {latency['verdict']} "
        f"(the original beside itself: {latency['control']['low']:.2f} to {latency['control']['high']:.2f})."
    )
    yield f"- Result: `final.onnx`, which is `{summary['final']['from']}.onnx`."
    yield ""


def models_table(summary: Document) -> Iterator[str]:
    metrics = list(summary["models"][0]["test"])
    yield "## Models"
    yield ""
    headings = [*(f"{name} (test)" for name in metrics), "MACs", "params", "bytes", "latency ms"]
    yield from table(
        ["", f"{summary['metric']} (search)", *headings],
        [
            [
                NAMES.get(m["name"], m["name"]) + (" (final)" if m["final"] else ""),
                figure(summary["metric"], m["search"][summary["metric"]]),
                *(figure(name, m["test"][name]) for name in metrics),
                *(f"{m[name]:,}" for name in ("macs", "params", "file_bytes")),
                f"{m['latency_ms']:.3f}",
            ]
            for m in summary["models"]
        ],
    )


def stages(summary: Document) -> Iterator[str]:
    """How the model came down to the target, where that took more than one stage."""
    if not summary["stages"]:
        return
    whole, metric = summary["models"][0], summary["metric"]
    yield "## Stages"
    yield ""
    yield from table(
        ["stage", "MACs", "params", "bytes", "left by", f"{metric} (search)", "taught by"],
        [
            [
                str(stage["stage"]),
                *(f"{100 * stage['cost'][q] / max(1, whole[q]):.1f} %" for q in ("macs", "params", "bytes")),
                NAMES.get(stage["final"], stage["final"]),
                figure(metric, stage["search"]),
                stage["teacher"] or NO_FIGURE,
            ]
            for stage in summary["stages"]
        ],
    )
    yield "Each stage set out from what the one before left; all else in this report is of the last one."
    yield ""


def search(summary: Document, record: Document) -> Iterator[str]:
    """Who chose the channels, and what the choice was worth where it was made."""
    found = summary["search"]
    yield "## Search"
    yield ""
    if found is None:
        why = record["boxes"].get("search", {}).get("why") or "not asked for"
        yield f"Left out: {why}. A criterion and an allocation chose the channels."
        yield ""
        return
    best, metric = found["best"], found["metric"]
    came = best["note"] if best["episode"] is None else f"evaluation {best['episode']}, {best['note']}"
    yield (
        f"The agent `{found['agent']}` chose the channels, beginning with the criterion `{found['prior']}`: "
        f"the best of {found['evaluations']} evaluations ({found['distinct']} different masks) is {came}."
    )
    yield ""
    splits, set_out = found["splits"], "what the stage before left" if summary["stages"] else "original"
    names = (f"reward split ({splits['reward']} samples)", f"selection split ({splits['selection']})")
    rows = [
        [
            name,
            *(NO_FIGURE if model[s] is None else figure(metric, model[s]) for s in ("reward", "selection")),
        ]
        for name, model in ((set_out, found["original"]), ("best, lightly repaired", best))
    ]
    yield from table(["", *(f"{metric}, {name}" for name in names)], rows)
    for target in found["targets"]:
        yield f"- Target `{target['target']}`: {'met' if target['met'] else '**missed**'} by these masks."
    yield "- It was chosen by the selection split, of the few that were best on the reward split."
    yield ""


def keep_ratios(work: Work) -> Iterator[str]:
    masks = work.masks()
    yield "## Channels kept"
    yield ""
    yield from table(
        ["group", "first produced at", "kept", "of", "keep ratio"],
        [
            [
                group.name,
                f"`{group.anchor}`",
                str(int(masks[group.name].sum())),
                str(group.channels),
                f"{masks[group.name].mean():.0%}",
            ]
            for group in work.groups.prunable
        ],
    )
    frozen = sum(group.frozen is not None for group in work.groups)
    if frozen:
        yield f"{frozen} more groups must stay; groups.json has the reasons."
        yield ""


def training(work: Work) -> Iterator[str]:
    box = work.run.box("distill")
    yield "## Distillation"
    yield ""
    if box.get("state") != "done":
        yield f"Left out: {box.get('why') or 'not asked for'}."
        yield ""
        return
    found = read_json(work.at("distill.json"))
    chosen = found["best_epoch"]
    which = f"weights of epoch {chosen}" if chosen else "no epoch was better than the weights it started from"
    averaged = ", averaged over steps" if found["averaged"] else ""
    teacher = "the original" if found["teacher"] == "original" else f"what {found['teacher']} left"
    yield f"Started from `{found['started_from']}`, taught by {teacher}; kept: {which}{averaged}."
    yield ""
    metric = found["metric"]
    rows = [
        [
            str(row["epoch"]),
            "" if row["loss"] is None else f"{row['loss']:.4f}",
            figure(metric, row["score"]),
            "" if row["average_score"] is None else figure(metric, row["average_score"]),
        ]
        for row in [{**EMPTY, "score": found["first_score"]}, *found["history"]]
    ]
    yield from table(["epoch", "loss", f"{metric} (search)", "averaged weights"], rows)


EMPTY: Document = {"epoch": 0, "loss": None, "average_score": None}


def boxes_table(record: Document) -> Iterator[str]:
    yield "## What was done"
    yield ""
    rows = [
        [name, box["state"], f"{box.get('seconds', 0):.1f}", str(box.get("why") or "").replace("|", "/")]
        for name, box in record["boxes"].items()
        if name != "report"
    ]
    yield from table(["box", "state", "seconds", ""], rows)


def honesty(summary: Document, record: Document) -> Iterator[str]:
    """What limits the figures."""
    rows, latency = summary["rows"], summary["latency"]
    yield "## How far the figures carry"
    yield ""
    yield f"- Run by {latency['provider']}, threads {latency['threads']}, batch {latency['batch']}."
    error = (
        f" Random error of a share over so many: about ±{100 / max(1, rows['test'] or 1) ** 0.5:.1f} points "
        "at most (95 %)."
    )
    yield (
        f"- Weights and channels come from {rows['fit']} samples, every choice from {rows['search']} others, "
        f"the figures at the end from {rows['test']} that nothing read before."
        + (error if summary["metric"] in FRACTIONS else "")
    )
    yield "- The figure on the search part is what the result was chosen by, and so flatters it."
    yield (
        f"- Latency by the {latency['clock']} clock, interleaved with a second copy of the original; "
        "within the difference of the original to itself nothing is claimed. The pruned models have the same "
        "shapes and so the same latency; the result was timed."
    )
    yield from (f"- {warning}" for warning in record["warnings"])
    yield ""


def environment(record: Document) -> Iterator[str]:
    yield "## Environment"
    yield ""
    words = " ".join(shlex.quote(word) for word in ["onnxprune", "compress", *record["argv"]])
    yield f"    {words}"
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield f"- {versions}"
    yield f"- {record['processor']}; seed {record['seed']}; started {record['started']}"
    for name, value in record["sha256"].items():
        if name != "test" or record["options"]["test"]:
            yield f"- sha256 of {name}: {value or 'not known, it is made by a function'}"
    for name, box in record["boxes"].items():
        for file, value in box.get("outputs", {}).items():
            if file.endswith(".onnx") or file == "masks.json":
                yield f"- sha256 of {file} ({name}): {value}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def find(models: list[Document], name: str) -> dict[str, Any]:
    return next(model for model in models if model["name"] == name)


def figure(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"
