"""The weights in an ONNX file, without a library for ONNX.

That library is larger than all that a speech worker needs beside it, and reads any file; the files
read here are known to the bit (:mod:`voicebot.models`). An ONNX file is one protobuf message
(onnx.proto3): of its graph only the initializers are wanted, and of these the name, the shape, the
type and the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_GRAPH: Final = 7  # of ModelProto
_INITIALIZER: Final = 5  # of GraphProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW = 1, 2, 4, 8, 9  # of TensorProto
_TYPES: Final = {1: "<f4", 2: "<u1", 3: "<i1", 6: "<i4", 7: "<i8"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def initializers(model: bytes) -> dict[str, npt.NDArray[Any]]:
    """Name and value of every initializer that is there as bytes, as all but a few numbers are.

    Views into *model*, which they keep alive. ValueError if it is no such file, or holds a tensor
    of a kind that is not known here.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    for field, graph in _fields(memoryview(model)):
        if field == _GRAPH:
            for part, tensor in _fields(_message(graph)):
                if part == _INITIALIZER:
                    found |= _tensor(tensor)
    return found


def _tensor(field: int | memoryview) -> dict[str, npt.NDArray[Any]]:
    shape: list[int] = []
    kind, name = 0, ""
    data: memoryview | None = None
    for number, value in _fields(_message(field)):
        if number == _DIMS:
            # One field for each, or all in one.
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME:
            name = str(_message(value), "utf-8")
        elif number in (_RAW, _FLOATS):
            data = _message(value)
    if data is None:
        return {}
    if kind not in _TYPES:
        raise ValueError(f"tensor {name!r} is of type {kind}")
    return {name: np.frombuffer(data, _TYPES[kind]).reshape(shape)}


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an int, or the bytes of what is longer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FOUR_BYTES, _EIGHT_BYTES):
            size = struct.calcsize("<f" if kind == _FOUR_BYTES else "<d")
        else:
            raise ValueError(f"a protobuf field of kind {kind}")
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        found.append(value)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at *at*, seven bits a byte, the lowest first; and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("it ends too early")
