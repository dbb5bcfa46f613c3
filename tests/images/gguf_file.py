"""Read as much of a GGUF file as tells whether it is whole: the header and where the last tensor ends."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

# GGUF's scalar types by number; 8 is a string, 9 an array.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

# Tensor types by number: how many weights make a block, and its bytes.
PLAIN = {0: (1, 4), 1: (1, 2), 30: (1, 2)}  # F32, F16, BF16
LEGACY = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34)}  # Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
SUPER = {10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210)}  # Q2_K to Q6_K
BLOCKS = PLAIN | LEGACY | SUPER


def needed_bytes(path: Path) -> int:
    """Compute how long the file must be for every tensor that its header promises.

    Raises:
        ValueError: when it is not a GGUF file.
    """
    with path.open("rb") as file:
        magic, _version, tensors, pairs = _unpack(file, "4sIQQ")
        if magic != b"GGUF":
            message = f"{path} starts with {magic!r}"
            raise ValueError(message)
        alignment = 32
        for _ in range(pairs):
            key = _string(file)
            value = _value(file, _unpack(file, "I")[0])
            if key == b"general.alignment":
                alignment = value
        end = 0
        for _ in range(tensors):
            _string(file)
            weights = 1
            for length in _unpack(file, f"{_unpack(file, 'I')[0]}Q"):
                weights *= length
            kind, offset = _unpack(file, "IQ")
            per_block, size = BLOCKS[kind]
            end = max(end, offset + weights // per_block * size)
        data = -(-file.tell() // alignment) * alignment
    return data + end


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    form = "<" + form
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _string(file: BinaryIO) -> bytes:
    return file.read(_unpack(file, "Q")[0])


def _value(file: BinaryIO, kind: int) -> Any:  # noqa: ANN401  # whatever type the file names
    if kind == STRING:
        return _string(file)
    if kind == ARRAY:
        inner, count = _unpack(file, "IQ")
        if inner in SCALARS:
            return _unpack(file, f"{count}{SCALARS[inner]}")
        return [_value(file, inner) for _ in range(count)]
    return _unpack(file, SCALARS[kind])[0]
