"""The file form of traces and maps: versioned, compressed, checksummed, written whole or not at all.

    magic       8 bytes, the kind of file
    version     u32
    header      u32 length, then JSON: what the kind wants to say, and the name, type and length of each column
    columns     u64 length, then all columns one after the other, compressed with xz
    checksum    32 bytes, SHA-256 of everything before it
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from construct import Bytes, Const, ConstructError, GreedyBytes, Int32ul, Int64ul, Prefixed, Struct

from kernel_sim.errors import BadInput

Array = np.ndarray[Any, Any]
_CHECKSUM_BYTES = 32
_MAX_COLUMN_BYTES = 1 << 36


def _layout(magic: bytes) -> Any:
    return Struct("magic" / Const(magic), "version" / Int32ul, "header" / Prefixed(Int32ul, GreedyBytes),
                  "columns" / Prefixed(Int64ul, GreedyBytes), "checksum" / Bytes(_CHECKSUM_BYTES))


def write(path: str | Path, magic: bytes, version: int, header: Mapping[str, Any], columns: Mapping[str, Array]) -> None:
    """Write a sealed file. `header` must be JSON; columns are one-dimensional arrays of numbers."""
    shape = [[name, column.dtype.newbyteorder("<").str, len(column)] for name, column in columns.items()]
    text = json.dumps({**header, "columns": shape}, sort_keys=True, separators=(",", ":")).encode()
    raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in columns.values())
    body: bytes = _layout(magic).build({"magic": magic, "version": version, "header": text,
                                        "columns": lzma.compress(raw, preset=2), "checksum": bytes(_CHECKSUM_BYTES)})
    body = body[:-_CHECKSUM_BYTES]
    write_whole(path, body + hashlib.sha256(body).digest())


def is_sealed(data: bytes, magic: bytes) -> bool:
    """Whether these bytes begin like a sealed file of that kind."""
    return data.startswith(magic)


def read(path: str | Path, data: bytes, magic: bytes, version: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the columns of a sealed file's bytes. BadInput, naming `path`, for one that is damaged or too new."""
    if hashlib.sha256(data[:-_CHECKSUM_BYTES]).digest() != data[-_CHECKSUM_BYTES:]:
        raise BadInput(f"{path}: damaged: the checksum does not match what the file holds")
    try:
        file = _layout(magic).parse(data)
        if file.version != version:
            raise BadInput(f"{path}: version {file.version} of this file form; this program reads version {version}")
        header = json.loads(file.header)
        shape = [(str(name), np.dtype(kind), int(length)) for name, kind, length in header.pop("columns")]
        expected = sum(kind.itemsize * length for _, kind, length in shape)
        if not 0 <= expected <= _MAX_COLUMN_BYTES or any(length < 0 for _, _, length in shape):
            raise BadInput(f"{path}: damaged: its columns cannot be {expected} bytes")
        raw = lzma.LZMADecompressor().decompress(file.columns, max_length=expected + 1)
    except (ConstructError, ValueError, TypeError, KeyError, AttributeError, lzma.LZMAError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    if len(raw) != expected:
        raise BadInput(f"{path}: damaged: {len(raw)} bytes of columns, {expected} expected")
    columns, offset = {}, 0
    for name, kind, length in shape:
        columns[name] = np.frombuffer(raw, kind, length, offset)
        offset += kind.itemsize * length
    return header, columns


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, then renamed. BadInput when that cannot be done."""
    path = Path(path)
    if path.exists() and not path.is_file():  # /dev/stdout and the like cannot be renamed over
        path.write_bytes(data)
        return
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise BadInput(f"{path}: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
