"""`onnxprune demo`: the tour on the model and the images that lie in the package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from onnxprune.cli.console import Output
from onnxprune.cli.demo_report import document, print_report
from onnxprune.cli.demo_steps import FILES, MODEL, compare_times, final_test, look, prune_both, try_out
from onnxprune.cli.help import Command
from onnxprune.cli.options import output_options
from onnxprune.onnx_file.saving import check_output


@click.command("demo", cls=Command)
@output_options("demo")
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to leave the pruned models and the masks; else they are removed.",
)
@click.option("--force", is_flag=True, help="Replace what an earlier demo left there.")
def command(output: Output, keep: Path | None, force: bool) -> None:
    """Prune a ResNet-20 that was trained on CIFAR-10, and tell what that gained and lost; half a minute.

    All that is chosen is chosen on 2,000 search images; 2,000 test images are looked at once, at the end.
    """
    with demo_folder(keep, force=force) as folder:
        look_at = look(output, MODEL)
        chosen = try_out(output, look_at)
        files = prune_both(output, look_at, chosen, folder)
        report = compare_times(output, look_at, files)
        accuracy = final_test(output, look_at, files)
        print_report(output, files, report, accuracy)
        output.finish(document(chosen, files, report, accuracy) | {"kept_in": keep})
        if keep is not None:
            output.line(f"kept in {keep}: {', '.join(FILES)}")


@contextmanager
def demo_folder(keep: Path | None, *, force: bool) -> Iterator[Path]:
    """The folder to keep, checked before any work, or a temporary one.

    Raises:
        UsageError: E203, a file that the demo would write there exists, or it is no folder.
    """
    if keep is None:
        with TemporaryDirectory(prefix="onnxprune-demo-") as folder:
            yield Path(folder)
        return
    check_output(keep / FILES[0], force) if keep.exists() else check_output(keep, force)
    for name in FILES if keep.exists() else ():
        check_output(keep / name, force)
    keep.mkdir(exist_ok=True)
    yield keep
