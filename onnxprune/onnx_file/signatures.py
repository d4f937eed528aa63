"""What a file is that is no ONNX model: its kind in words, and what to do about it."""

import codecs
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 4096
EXPORT_TORCH = "export it: torch.onnx.export(model, args, 'model.onnx')"
EXPORT_TF = "convert it with tf2onnx: python -m tf2onnx.convert --help"
EXPORT_TFLITE = "convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx"
EXPORT_PT2 = "load it with torch.export.load and pass it to torch.onnx.export"
TEXT_TO_BINARY = "make it binary: onnx.save(onnx.load(path, format='{form}'), 'model.onnx')"
UNPACK = "unpack it first"


@dataclass(frozen=True)
class Kind:
    """A kind of file in words, and a hint for the one who took it for a model."""

    name: str
    hint: str


# (offset, bytes there, kind)
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", Kind("a PNG image", "pass the model; images go to --data")),
    (0, b"\xff\xd8\xff", Kind("a JPEG image", "pass the model; images go to --data")),
    (0, b"GIF8", Kind("a GIF image", "pass the model; images go to --data")),
    (0, b"%PDF-", Kind("a PDF document", "pass the .onnx file")),
    (0, b"\x1f\x8b", Kind("a gzip archive", "unpack it first: gunzip, or tar -xzf")),
    (0, b"BZh", Kind("a bzip2 archive", UNPACK)),
    (0, b"\xfd7zXZ\x00", Kind("an xz archive", UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a zstd archive", UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7-zip archive", UNPACK)),
    (0, b"Rar!\x1a\x07", Kind("a RAR archive", UNPACK)),
    (257, b"ustar", Kind("a tar archive", "unpack it first: tar -xf")),
    (0, b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file (Keras .h5?)", EXPORT_TF)),
    (4, b"TFL3", Kind("a TFLite model", EXPORT_TFLITE)),
    (4, b"ORTM", Kind("an ONNX Runtime .ort model", "pass the .onnx file that it was made from")),
    (0, b"ftrt", Kind("a TensorRT engine", "pass the .onnx file that it was built from")),
    (0, b"ptrt", Kind("a TensorRT engine", "pass the .onnx file that it was built from")),
    (0, b"GGUF", Kind("a GGUF file", "pass the model's ONNX export")),
    (0, b"\x93NUMPY", Kind("a numpy array (.npy)", "pass the model; samples go to --data")),
    (0, b"\x7fELF", Kind("a program (ELF)", "pass the .onnx file")),
)
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
PICKLE = Kind("a pickle (an old torch checkpoint?)", EXPORT_TORCH)
SAFETENSORS = Kind("a safetensors file: weights without a graph", "export the model with its weights to ONNX")
ZEROS = Kind("nothing but zero bytes", "the copy or download failed; fetch the file again")
OTHER_PROTOBUF = Kind("another protobuf message (a TensorFlow graph? a tensor?)", EXPORT_TF)

# (how the text begins, in lower case and without white space in front, kind)
TEXT_BEGINNINGS = (
    ("version https://git-lfs", Kind("a git-lfs pointer", "fetch the file itself: git lfs pull")),
    ("# xet version", Kind("a Xet pointer", "fetch the file itself with the tool of the hub it came from")),
    ("<!doctype html", Kind("an HTML page", "the download saved a web page; fetch the raw file")),
    ("<html", Kind("an HTML page", "the download saved a web page; fetch the raw file")),
    ("<?xml", Kind("XML text (OpenVINO IR? an error message of a server?)", "pass the .onnx file")),
    ("ir_version:", Kind("ONNX as protobuf text", TEXT_TO_BINARY.format(form="textproto"))),
)
ONNX_TEXT = Kind("ONNX as text (.onnxtxt)", TEXT_TO_BINARY.format(form="onnxtxt"))
ONNX_JSON = Kind("ONNX as JSON", TEXT_TO_BINARY.format(form="json"))
TEXT = Kind("text", "pass the .onnx file")
JSON = Kind("JSON text", "pass the .onnx file")
UTF16 = Kind("UTF-16 text", "pass the .onnx file")

# (how the name of a member ends, kind of the archive)
ZIP_MEMBERS = (
    (".onnx", Kind("a zip archive with a model in it", UNPACK)),
    ("constants.pkl", Kind("a TorchScript archive", EXPORT_TORCH)),
    ("data.pkl", Kind("a torch checkpoint", EXPORT_TORCH)),
    ("archive_format", Kind("a torch.export archive", EXPORT_PT2)),
    ("model.weights.h5", Kind("a Keras archive", EXPORT_TF)),
    (".npy", Kind("numpy arrays (.npz)", "pass the model; samples go to --data")),
)


def foreign_kind(path: Path, head: bytes) -> Kind | None:
    """What a file is by its first 4096 bytes, where that is plain; None where it may well be a model."""
    for offset, magic, kind in SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_kind(path)
    text = as_text(head)
    return binary_kind(head) if text is None else text_kind(text)


def binary_kind(head: bytes) -> Kind | None:
    if head.startswith(PICKLES):
        return PICKLE
    if is_safetensors(head):
        return SAFETENSORS
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return UTF16
    return None if head.strip(b"\0") else ZEROS


def is_safetensors(head: bytes) -> bool:
    if len(head) < 10 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return 2 <= length <= 100_000_000 and head[9:10] in b'"} '


def as_text(head: bytes) -> str | None:
    """The beginning of a text file; None where control characters or bad UTF-8 show that it is binary."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    return None if any(c < " " and c not in "\t\n\r\f\x1b" for c in text) else text


def text_kind(text: str) -> Kind:
    begin = text.lstrip().lower()
    for beginning, kind in TEXT_BEGINNINGS:
        if begin.startswith(beginning):
            return kind
    if begin.startswith("<") and "ir_version" in begin:
        return ONNX_TEXT
    if begin.startswith("{"):
        return ONNX_JSON if '"irversion"' in begin else JSON
    return TEXT


def zip_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError, struct.error):
        return Kind("a damaged zip archive", "copy or download it again, then unpack it")
    return kind_by_members(names)


def kind_by_members(names: list[str]) -> Kind:
    for ending, kind in ZIP_MEMBERS:
        if any(name.endswith(ending) for name in names):
            return kind
    return Kind("a zip archive", UNPACK)


def folder_kind(path: Path) -> Kind:
    """What a folder is that was passed as a model."""
    if (path / "saved_model.pb").exists():
        return Kind("a TensorFlow SavedModel folder", EXPORT_TF)
    models = sorted(path.glob("*.onnx"))
    if models:
        return Kind("a folder", f"pass the file in it: {models[0]}")
    return Kind("a folder", "pass the .onnx file")
