"""Learning curves of what `benchmarks.search` has found, best so far on the reward rows: a picture a model.

    python -m benchmarks.search_plot FOLDER docs [--agent gat-ppo --agent random]

Lines: the mean over the seeds; bands: one standard deviation (n - 1).
"""

from pathlib import Path

import click

from benchmarks.search_runs import Record
from benchmarks.search_tables import Cells, Key, is_single, records
from onnxprune.runs.folder import write_text
from onnxprune.study.picture import Panel, curves
from onnxprune.study.results import curve


def best_so_far(record: Record) -> list[float | None]:
    """By evaluation; None before anything meets the target."""
    found: list[float | None] = record["curve"]
    return found


def picture(cells: Cells, model: str) -> str:
    """A panel for each share of the MACs."""
    shares = list(dict.fromkeys(share for name, share, _ in cells if name == model))
    panels = [
        Panel(
            f"{model}, {share} of the MACs",
            [
                curve(agent, [best_so_far(record) for record in some], 100)
                for (name, other, agent), some in sorted(cells.items())
                if (name, other) == (model, share)
            ],
        )
        for share in shares
    ]
    metric = next(some for key, some in cells.items() if key[0] == model)[0]["made_for"]["metric"]
    return curves(model, panels, label=f"best so far, {metric}, %")


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--agent", "agents", multiple=True, help="These alone; repeatable.")
def main(folder: Path, out: Path, agents: tuple[str, ...]) -> None:
    """Draw OUT/search_MODEL.svg, the same for the same records."""

    def wanted(key: Key) -> bool:
        return key[2] in agents if agents else not is_single(key)

    cells = {key: some for key, some in records(folder).items() if wanted(key)}
    if not cells:
        raise click.UsageError(f"{folder} holds no such searches")
    for model in dict.fromkeys(name for name, _, _ in cells):
        write_text(out / f"search_{model}.svg", picture(cells, model))


if __name__ == "__main__":
    main()
