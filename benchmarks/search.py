"""Agents beside each other: accuracy on the CIFAR-10 test images after a search, without any training.

    OMP_NUM_THREADS=1 python -m benchmarks.search MODEL.onnx ... --data cifar10.npz --out FOLDER
    python -m benchmarks.search --out FOLDER --tables
    python -m benchmarks.search_plot FOLDER docs

One search for each model, share, agent and seed, and one record for each in FOLDER: what is there is not done
again, and what was interrupted goes on. The agent `allocations` stands for every allocation of the prior,
`criteria` for every criterion with the best of its allocations. Data and splits: benchmarks.search_runs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import click

from benchmarks.search_runs import Case, Model, Record, Settings, repair_fully, run
from benchmarks.search_tables import breakdown, records, tables
from onnxprune.agents.table import AGENTS
from onnxprune.allocation import ALLOCATIONS
from onnxprune.criteria import CRITERIA
from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation import METHODS
from onnxprune.runs.folder import read_json

SEVERAL = {
    "allocations": tuple(ALLOCATIONS),
    "criteria": tuple(f"one-shot:criteria={name}" for name in CRITERIA),
}
DEFAULT = ("allocations", "criteria", *(name for name in AGENTS if name not in ALLOCATIONS))
FIXED = ("one-shot", *ALLOCATIONS)  # the same with every seed


def cases(shares: tuple[str, ...], agents: tuple[str, ...], seeds: tuple[int, ...]) -> Iterator[Case]:
    """Seed after seed, so that the tables fill evenly."""
    specs = [one for spec in agents for one in SEVERAL.get(spec, (spec,))]
    for seed in seeds:
        for share in shares:
            for spec in dict.fromkeys(specs):
                if seed == seeds[0] or spec.partition(":")[0] not in FIXED:
                    yield Case(share, spec, seed)


def known(model: Model, case: Case) -> Record | None:
    """The record that is there.

    Raises:
        UsageError: It was made with other settings.
    """
    path = model.folder / f"{case.name(model.path.stem)}.json"
    if not path.exists():
        return None
    record, facts = read_json(path), model.facts(case)
    if record["made_for"] != facts:
        other = {key: value for key, value in record["made_for"].items() if facts.get(key) != value}
        raise click.UsageError(f"{path} was made with {other}; another --out")
    return record


def carry_out(model: Model, case: Case, *, full_repair: bool) -> None:
    """What is missing of one search, with a line about it."""
    record, began, name = known(model, case), perf_counter(), case.name(model.path.stem)
    if record is not None and (record["best"]["test_full"] is not None or not full_repair):
        return
    try:
        record = record or run(model, case)
        if full_repair:
            record = repair_fully(model, case, record)
    except OnnxPruneError as error:
        click.echo(f"{name}: {error.code}: {error.message} {error.cause or ''}", err=True)
        return
    best, full = record["best"], record["best"]["test_full"]
    repaired = "" if full is None else f", fully repaired {100 * full:.2f} %"
    click.echo(
        f"{name}: reward {100 * best['reward']:.2f} %, selection {100 * best['selection']:.2f} %, "
        f"test {100 * best['test']:.2f} %{repaired} ({perf_counter() - began:.0f} s)",
        err=True,
    )


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--data", type=click.Path(exists=True))
@click.option("--share", "shares", multiple=True, default=("50%", "35%"), show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True)
@click.option("--agent", "agents", multiple=True, default=DEFAULT, show_default=True,
              help="NAME[:KEY=VALUE,...], allocations or criteria; repeatable.")  # fmt: skip
@click.option("--evaluations", default=512, show_default=True)
@click.option("--rows", default=500, show_default=True, help="Reward rows.")
@click.option("--batch", default=16, show_default=True, help="Candidates between two updates.")
@click.option("--prior", default="auto", show_default=True)
@click.option("--repair", default="least-squares", show_default=True, type=click.Choice(METHODS),
              help="In the loop; test images always see least squares.")  # fmt: skip
@click.option("--metric", default="top1", show_default=True, help="Of the rewards, such as cross-entropy.")
@click.option("--race/--no-race", default=True, show_default=True)
@click.option("--full-repair", is_flag=True, help="Test what was chosen after the full repair too.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--tables", "only_tables", is_flag=True, help="Print what is there; search nothing.")
@click.option("--breakdown", "only_seconds", is_flag=True, help="Of the tables that of seconds alone.")
def main(
    models: tuple[Path, ...], data: str | None, shares: tuple[str, ...], seeds: tuple[int, ...],
    agents: tuple[str, ...], evaluations: int, rows: int, batch: int, prior: str, repair: str, metric: str,
    race: bool, full_repair: bool, out: Path, only_tables: bool, only_seconds: bool,
) -> None:  # fmt: skip
    """Search with every agent and print the tables."""
    if not only_tables:
        if not models or data is None:
            raise click.UsageError("MODEL and --data, or --tables")
        if os.environ.get("OMP_NUM_THREADS") != "1":
            raise click.UsageError("set OMP_NUM_THREADS=1: all is measured in one thread")
        out.mkdir(parents=True, exist_ok=True)
        for path in models:
            model = Model(path, Settings(data, evaluations, rows, batch, repair, race, prior, metric), out)
            for case in cases(shares, agents, seeds):
                carry_out(model, case, full_repair=full_repair)
    for line in (breakdown if only_seconds else tables)(records(out)):
        click.echo(line)


if __name__ == "__main__":
    main()
