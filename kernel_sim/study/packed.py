"""Files that may be compressed: opened by what they hold, not by their name."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from kernel_sim.errors import BadInput

_GZIP, _XZ = b"\x1f\x8b\x08", b"\xfd7zXZ\0"


@contextmanager
def opened(path: str | Path) -> Iterator[io.BufferedReader]:
    """A file's bytes, unpacked when they are gzip or xz. BadInput for what cannot be opened, read or unpacked."""
    try:
        with open(path, "rb") as file:
            start = file.peek(len(_XZ))
            if start.startswith(_GZIP):
                yield _buffered(gzip.GzipFile(fileobj=file))
            elif start.startswith(_XZ):
                yield _buffered(lzma.LZMAFile(file))  # noqa: SIM115  # the caller closes it
            else:
                yield file
    except PermissionError:
        raise BadInput(f"{path}: permission denied{_advice(path)}") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise BadInput(f"{path}: damaged: {error}") from None


def _buffered(unpacking: gzip.GzipFile | lzma.LZMAFile) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, unpacking))


def _advice(path: str | Path) -> str:
    return " (only root may read it: use sudo)" if str(path).startswith("/proc/") else ""
