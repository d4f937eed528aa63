"""Standard output and error that outlive their readers: `| head` ends what is told, never what runs."""

import errno
import io
import os
import sys
from pathlib import Path
from stat import S_ISCHR
from typing import TextIO

from onnxprune.errors import RuntimeProblem


class Lasting(io.TextIOWrapper):
    """Text that goes nowhere from the moment on that nobody can read it."""

    def write(self, text: str) -> int:
        """The length of the text; see `flush` for what it raises."""
        try:
            if text != "":  # so click asks whether this is a text stream, and hears no error
                super().write(text)
        except OSError as error:
            self._forget(error)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written.

        Raises:
            RuntimeProblem: E605, there is somebody to read it and no room, or it fails in some other way.
        """
        try:
            super().flush()
        except OSError as error:
            self._forget(error)

    def _forget(self, error: OSError) -> None:
        """Let the descriptor lead nowhere, in place: what is buffered would fail once more at the exit."""
        terminal = S_ISCHR(os.fstat(self.fileno()).st_mode)
        gone = error.errno == errno.EPIPE or (error.errno == errno.EIO and terminal)  # one that hung up
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not gone:
            raise RuntimeProblem(
                "E605",
                f"{self.name} cannot be written: {error.strerror or error}",
                hint="free some space, or send it elsewhere",
            ) from error


def outlive_readers() -> None:
    """Make this process's standard output and error last, in place."""
    sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)


def lasting(stream: TextIO | None) -> TextIO:
    """The same stream, with question marks for signs that it cannot show; nowhere if it was closed before."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):  # somebody's own
        return stream
    return Lasting(
        stream.buffer,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
