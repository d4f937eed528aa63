"""What a run was made for: sha256 of models and samples."""

from hashlib import sha256
from pathlib import Path

from onnxprune.errors import ModelError
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import data_file, external_locations
from onnxprune.runs.folder import path_hash


def model_hash(graph: Graph) -> str:
    """sha256 of the file; with external data of all files, one after the other.

    Raises:
        ModelError: E306, a weights file is gone.
    """
    own = path_hash(graph.path)
    files = sorted(set(external_locations(graph.model).values()))
    if not files:
        return own
    places = [data_file(graph.path, location) for location in files]
    missing = [place for place in places if not place.is_file()]
    if missing:
        raise ModelError("E306", f"weights file '{missing[0]}' is gone", hint="copy it back")
    return text_hash([own, *(path_hash(place) for place in places)])


def text_hash(texts: list[str]) -> str:
    return sha256("\n".join(texts).encode()).hexdigest()


def data_hash(spec: str) -> str | None:
    """Of a file, or of all in a folder; None for what a function makes."""
    path = Path(spec)
    return path_hash(path) if path.exists() else None
