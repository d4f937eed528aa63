"""Times measured before, on disk: one JSON file for each setting, shared by all models."""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnxprune.latency.table import FORMAT, Setting
from onnxprune.runs.folder import read_json, write_json

ENVIRONMENT = "ONNXPRUNE_CACHE"
EVERY = 16  # new times, until they are written


def default_folder() -> Path:
    """Where times are kept: $ONNXPRUNE_CACHE, else in the user's cache."""
    own = os.environ.get(ENVIRONMENT)
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "onnxprune"


class Store:
    """Nanoseconds by signature of a piece; written now and then, and by `save`.

    A file that cannot be read, or was made elsewhere, is as none: it only costs time to measure again.

    Args:
        folder: Where the files lie; made where it is missing.
        setting: Where it is measured.
    """

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.setting = vars(setting)
        self.path = folder / file_name(setting)
        self.times = self._read()
        self._new = 0

    def _read(self) -> dict[str, float]:
        try:
            found = read_json(self.path)
            if found["format"] != FORMAT or found["setting"] != self.setting:
                return {}
            return {str(key): float(ns) for key, ns in found["times_ns"].items() if float(ns) > 0}
        except Exception:  # noqa: BLE001 - whatever is wrong with it, there is nothing to read
            return {}

    def put(self, signature: str, ns: float) -> None:
        """Remember a time, in place."""
        self.times[signature] = ns
        self._new += 1
        if self._new >= EVERY:
            self.save()

    def save(self) -> None:
        """Write what is new, together with what others have written meanwhile.

        Raises:
            RuntimeProblem: E605, the disk is full.
        """
        if not self._new:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.times = self._read() | self.times
        document: dict[str, Any] = {"format": FORMAT, "setting": self.setting, "times_ns": self.times}
        write_json(self.path, document)
        self._new = 0


def file_name(setting: Setting) -> str:
    """Such as latency-cpu-1-1.31.1-6b1f20aa.json; the last part stands for the processor and the rest."""
    key = sha256(repr(sorted(vars(setting).items())).encode()).hexdigest()[:8]
    provider = setting.provider.removesuffix("ExecutionProvider").lower()
    words = f"latency-{provider}-{setting.threads}-{setting.runtime}-{key}"
    return re.sub(r"[^A-Za-z0-9.-]+", "_", words) + ".json"
