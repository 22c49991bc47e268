"""Frames between the process that reads a file and the one that wants its ticks: a letter, a length, the content."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, BinaryIO

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_producer.reading.convert import Converted

HEAD = struct.Struct("<cQ")
PLAN, BLOCK, TICKS, FAILURE, END = b"P", b"B", b"T", b"F", b"Z"


class Request(msgspec.Struct):
    """A request to read a file; the options are those of `Options`, as JSON."""

    file: str
    options: msgspec.Raw


class Described(msgspec.Struct):
    """How a file is read, for display and for the ledger.

    Attributes:
        kind, compression, encoding, delimiter: how it is stored; the last two are empty unless it is text
        roles: the file's name of each of our columns
        symbol: the symbol of every row, if no column has it
        unused: the names of the columns that are not used
        price, size, time: how these are written, each a phrase; empty if there is none
        ticks_per_row: four for bars, else one
        is_dated: whether ticks have an event time
        is_zone_assumed: whether times name no zone and nobody has named it, so that UTC is assumed

    """

    kind: str
    compression: str
    encoding: str
    delimiter: str
    roles: dict[str, str]
    symbol: str
    unused: list[str]
    price: str
    size: str
    time: str
    ticks_per_row: int
    is_dated: bool
    is_zone_assumed: bool = False


class Failure(msgspec.Struct):
    """Why a file cannot be read; with a question if the user can decide."""

    message: str
    question: str = ""
    choices: dict[str, str] = {}


class Counts(msgspec.Struct):
    """What a block has besides ticks: see `Converted`."""

    rows: int
    left_out: list[tuple[int, str]]
    done: float


def write(out: BinaryIO, kind: bytes, content: bytes | pa.Buffer = b"") -> None:
    """Write a frame."""
    out.write(HEAD.pack(kind, len(content)))
    out.write(content)
    out.flush()


def write_block(out: BinaryIO, block: Converted) -> None:
    """Write a block of ticks."""
    write(out, BLOCK, msgspec.json.encode(Counts(block.rows, block.left_out, block.done)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, block.ticks.schema) as stream:
        stream.write_batch(block.ticks)
    write(out, TICKS, sink.getvalue())


def read(source: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of each frame, up to the end or a frame that is cut off."""
    while len(head := source.read(HEAD.size)) == HEAD.size:
        kind, length = HEAD.unpack(head)
        if len(content := source.read(length)) < length:
            return
        yield kind, content


def ticks_in(content: bytes) -> pa.RecordBatch:
    """Return the ticks of a frame."""
    return pa.ipc.open_stream(content).read_next_batch()
