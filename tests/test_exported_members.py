"""The public names of onnxprune."""

import onnxprune


def test_the_public_names_are_sorted_and_few() -> None:
    assert list(onnxprune.__all__) == sorted(set(onnxprune.__all__))
    assert len(onnxprune.__all__) <= 24


def test_every_public_name_can_be_imported() -> None:
    assert [name for name in onnxprune.__all__ if not hasattr(onnxprune, name)] == []


def test_every_imported_function_and_class_is_public() -> None:
    ours = {
        name
        for name, value in vars(onnxprune).items()
        if getattr(value, "__module__", "").startswith("onnxprune.") and not name.startswith("_")
    }
    assert ours <= set(onnxprune.__all__)


def test_no_public_name_hides_a_module_of_the_same_name() -> None:
    modules = {
        "allocation",
        "cost",
        "groups",
        "masks",
        "pipeline",
        "pruning",
        "report",
        "target",
        "verification",
    }
    assert modules & set(onnxprune.__all__) == set()
