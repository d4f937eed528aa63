"""The law on random models built from the supported operators."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, assume, given, settings
from onnx import ModelProto, printer
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from tests.law.check import PLAIN, Trial, check_law, runner
from tests.law.random_models import random_models

SIZES = 2 * ({f"D{extent}": extent for extent in range(1, 100)},)  # what `random_models.dims` calls them
RELAXED = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def holds(made: ModelProto, trial: Trial) -> None:
    with TemporaryDirectory() as folder:
        assume(accepted(made, Path(folder)))
        try:
            check_law(made, Path(folder), trial)
        except Exception as error:
            error.add_note(printer.to_text(made.graph.__class__(node=made.graph.node, name="law")))
            raise


def accepted(made: ModelProto, folder: Path) -> bool:
    """ONNX Runtime's own shape inference takes some legal chains of Reshape for contradictions."""
    try:
        runner(made, folder, PLAIN)
    except Fail:
        return False
    return True


@RELAXED
@given(random_models(decorated=True))
def test_the_law_holds_however_constants_are_written(made: ModelProto) -> None:
    holds(made, Trial(seeds=range(1), sizes=SIZES))


@RELAXED
@given(random_models())
def test_the_law_holds_on_random_models(made: ModelProto) -> None:
    holds(made, Trial(seeds=range(1), sizes=SIZES))


@RELAXED
@given(random_models())
def test_the_law_holds_on_random_models_by_whole_heads_and_groups(made: ModelProto) -> None:
    holds(made, Trial(seeds=range(1), heads=True, sizes=SIZES))
