"""One door to all forms of data.

spec                              what is read
random                            invented inputs (DataOptions.count rows)
x.npz                             arrays by input name, `labels` beside them
x.npz with x_test, y_test, ...    one part of a divided data set
x.npy                             the only input's rows
folder/                           .npz and .npy files; images; class folders with images
cifar-10-python.tar.gz, its folder
package.module:function           a generator of dict or (dict, label)
"""

from collections.abc import Sequence
from pathlib import Path

from onnxprune.data.adapter import Adapter
from onnxprune.data.array_files import ArrayFile
from onnxprune.data.array_samples import array_samples, folder_samples, holds_arrays, npy_samples
from onnxprune.data.callables import is_callable_spec
from onnxprune.data.cifar_archive import is_archive, read_archive
from onnxprune.data.divided import divided_samples, is_divided, sample_arrays
from onnxprune.data.function_samples import function_samples
from onnxprune.data.image_folder import holds_images, image_samples
from onnxprune.data.options import DataOptions, Part
from onnxprune.data.samples import ModelInput, Samples, portion
from onnxprune.data.synthetic import random_samples
from onnxprune.errors import DataError

PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".joblib"})
FORMS = "want .npz, .npy, a folder of them or of images, CIFAR-10, package.module:function, or random"
# Where undivided data is asked for a part; fixed, so that the parts of all commands fit together.
PORTIONS: dict[Part, tuple[float, float]] = {"fit": (0.0, 0.5), "search": (0.5, 0.75), "test": (0.75, 1.0)}


def open_data(spec: str, *, inputs: Sequence[ModelInput], options: DataOptions | None = None) -> Samples:
    """The samples that `spec` names, checked against the model's inputs on the first row.

        open_data("val.npz", inputs=graph.inputs)
        open_data("cifar10.npz", inputs=graph.inputs, options=DataOptions(images=ImageOptions("nchw", ...)))

    Args:
        spec: A file, a folder, `package.module:function` or `random`.
        inputs: Of the model, with names, dtypes and dimensions.
        options: What the data does not say itself.

    Raises:
        DataError: E501 missing or unreadable; E502 names, E503 dtypes or shapes differ from the model's.
    """
    options = options or DataOptions()
    adapter = Adapter(spec, inputs, options)
    if spec == "random":
        return _part_of(random_samples(inputs, options), options)
    path = Path(spec)
    if path.is_dir():
        return _open_folder(path, adapter)
    if path.is_file():
        return _open_file(path, adapter)
    if is_callable_spec(spec):
        return _part_of(function_samples(spec, adapter), options)
    raise DataError("E501", f"data '{spec}' does not exist", hint=FORMS)


def _open_file(path: Path, adapter: Adapter) -> Samples:
    if path.suffix == ".npy":
        return _part_of(npy_samples(path, adapter), adapter.options)
    if path.suffix == ".npz":
        return _open_npz(path, adapter)
    if is_archive(path):
        return divided_samples(read_archive(path), adapter, part=adapter.options.part or "test")
    if path.suffix in PICKLES:
        raise DataError("E501", f"{path}: pickles are refused", hint="save arrays with numpy.savez")
    raise DataError("E501", f"{path}: no form of data that is known", hint=FORMS)


def _open_npz(path: Path, adapter: Adapter) -> Samples:
    arrays = ArrayFile(path)
    if not is_divided(arrays) or any(value.name in arrays for value in adapter.inputs):
        return _part_of(array_samples(arrays, adapter), adapter.options)
    parts = sample_arrays(path) if "search_differences" in arrays else arrays
    return divided_samples(parts, adapter, part=adapter.options.part or "test")


def _open_folder(path: Path, adapter: Adapter) -> Samples:
    if is_archive(path):
        return divided_samples(read_archive(path), adapter, part=adapter.options.part or "test")
    read = image_samples if holds_images(path) and not holds_arrays(path) else folder_samples
    samples = read(path, adapter)
    return _part_of(samples, adapter.options)


def _part_of(samples: Samples, options: DataOptions) -> Samples:
    """All of undivided data, or the portion that stands for a part."""
    if options.part is None:
        return samples
    start, stop = (options.portions or PORTIONS)[options.part]
    return portion(samples, start, stop)
