"""Open a file as bytes of UTF-8 text or of a columnar format: compression and encoding are taken away."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import os
import stat
import zlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

import pyarrow as pa

from finance_producer.reading.options import UnreadableFileError

if TYPE_CHECKING:
    from pathlib import Path

    from finance_producer.reading.options import Options

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
COLUMNAR = {b"PAR1": "Parquet", b"ARROW1": "Arrow", b"\xff\xff\xff\xff": "Arrow stream", b"FEA1": "Feather 1"}
# What to do with formats that are not read.
OTHERS = {
    b"PK\x03\x04": "is a ZIP archive or a spreadsheet: `unzip -p FILE | financelake import -` imports what is in an archive",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet: save it as CSV",
    b"\xfd7zXZ": "is compressed with xz: `xz -dc FILE | financelake import -` imports it",
    b"\x04\x22\x4d\x18": "is compressed with lz4: `lz4 -dc FILE | financelake import -` imports it",
    b"FEA1": "is of the first version of Feather, which pandas wrote before 2020: write it again with to_feather",
    b"\x89HDF": "is an HDF5 file: write it with to_parquet",
    b"SIMPLE": "is a FITS file: write it as CSV",
}
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
UTF_16 = "utf-16"
SAMPLE_BYTES = 256 * 1024
PIECE_BYTES = 1024 * 1024


class Readable(Protocol):
    """Something to read bytes from; fewer than asked for are only returned at the end."""

    @property
    def raw(self) -> BinaryIO:
        """What the bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, `b""` at the end."""

    def close(self) -> None:
        """Close it."""


class Opened(NamedTuple):
    """An open file: its format (`CSV` for any text), its bytes, and how they are stored."""

    kind: str
    stream: Readable
    compression: str
    encoding: str
    file: BinaryIO

    def done(self) -> float:
        """Return how much of the file's bytes is read, from 0 to 1."""
        return 1.0 if self.file.closed else self.file.tell() / max(1, os.fstat(self.file.fileno()).st_size)


def open_file(file: Path, options: Options) -> Opened:
    """Open a file. Raises UnreadableFileError if its first bytes show that it cannot be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode) and not file.is_dir():  # opening a pipe would block
            raise UnreadableFileError(f"{file} is not a regular file.")
        raw = file.open("rb")
    except OSError as error:
        raise UnreadableFileError(f"{file} cannot be read: {error.strerror}.") from None
    magic = raw.read(8)
    raw.seek(0)
    compression = next((name for beginning, name in COMPRESSIONS.items() if magic.startswith(beginning)), "none")
    stream = Buffered(file, _unpacked(raw, compression), raw)
    magic = stream.peek(8)
    if other := next((what for beginning, what in OTHERS.items() if magic.startswith(beginning)), None):
        raise UnreadableFileError(f"{file} {other.replace('FILE', str(file))}.")
    if kind := next((kind for beginning, kind in COLUMNAR.items() if magic.startswith(beginning)), None):
        if compression == "none":
            return Opened(kind, stream, compression, "", raw)
        if kind != "Arrow stream":
            raise UnreadableFileError(f"{file} is {kind} compressed with {compression}: decompress it first.")
        return Opened(kind, stream, compression, "", raw)
    return _text(file, stream, compression, options, raw)


class Buffered:
    """A stream that can be looked into. Raises UnreadableFileError for damaged compressed data."""

    def __init__(self, file: Path, stream: BinaryIO, stored: BinaryIO) -> None:
        """Read `stream`, which unpacks `stored`; `file` is for messages."""
        self.raw = stream
        self._stored = stored
        self._file = file
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them; fewer only at the end."""
        while len(self._ahead) < size and (piece := self._next(size - len(self._ahead))):
            self._ahead += piece
        return self._ahead[:size]

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; fewer only at the end."""
        parts, missing = [self._ahead[:size]], size - len(self._ahead)
        self._ahead = self._ahead[size:]
        while missing > 0 and (piece := self._next(missing)):
            parts.append(piece)
            missing -= len(piece)
        return b"".join(parts)

    @property
    def closed(self) -> bool:
        """Whether it is closed; pyarrow asks it."""
        return self.raw.closed

    def close(self) -> None:
        """Close the stream."""
        self.raw.close()
        self._stored.close()

    def _next(self, size: int) -> bytes:
        try:
            return bytes(self.raw.read(size))
        except (EOFError, zlib.error, OSError, pa.ArrowException, ValueError) as error:
            what = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
            raise UnreadableFileError(f"{self._file} cannot be read to its end: {what}. Copy or download it again.") from None


def _unpacked(raw: BinaryIO, compression: str) -> BinaryIO:
    if compression == "zstd":
        return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))
    if compression == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))
    return cast("BinaryIO", bz2.BZ2File(raw)) if compression == "bzip2" else raw


def _text(file: Path, stream: Buffered, compression: str, options: Options, raw: BinaryIO) -> Opened:
    beginning = stream.peek(SAMPLE_BYTES)
    mark, found = next(((mark, name) for mark, name in MARKS if beginning.startswith(mark)), (b"", ""))
    codec = _codec(file, options, found or _wide(beginning), beginning)
    stream.read(len(mark) if found and codec.name.startswith(found[:6]) else 0)
    if codec.name in {"utf-8", "ascii"}:
        return Opened("CSV", LineFeeds(stream), compression, "utf-8", raw)
    return Opened("CSV", LineFeeds(Transcoded(stream, codec)), compression, codec.name, raw)


def _codec(file: Path, options: Options, shown: str, beginning: bytes) -> codecs.CodecInfo:
    """Return the codec that is named, or that the text shows. Raises UnreadableFileError if they contradict each other."""
    encoding = options.encoding
    try:
        b"a".decode(encoding or "utf-8", "replace")  # base64 and the like are codecs too, but not of text
        codec = codecs.lookup(encoding or shown or "utf-8")
    except (LookupError, UnicodeError):
        raise UnreadableFileError(
            f"{file} cannot be read: {encoding!r} is no encoding of text that is known: use one such as utf-8 or latin-1."
        ) from None
    given = options.spelled("encoding", encoding)
    if shown.startswith(UTF_16):
        if codec.name not in {UTF_16, shown}:
            raise UnreadableFileError(f"{file} is text in {shown}: leave {given} out.")
        return codecs.lookup(shown)
    if beginning and codec.name.startswith(UTF_16):
        if b"\0" not in beginning:  # which digits and separators have in UTF-16
            raise UnreadableFileError(f"{file} is no text in UTF-16: leave {given} out.")
        if codec.name == UTF_16:
            both = " or ".join(options.spelled("encoding", name) for name in ("utf-16-le", "utf-16-be"))
            raise UnreadableFileError(f"{file} does not begin with a byte order mark: use {both} instead of {given}.")
    return codec


def _wide(beginning: bytes) -> str:
    """Return the kind of UTF-16 of text without a byte order mark: every other byte of Latin text is zero."""
    even, odd = beginning[0:1000:2], beginning[1:1000:2]
    if len(odd) < 4:  # noqa: PLR2004 (too short to say)
        return ""
    if odd.count(0) > 0.9 * len(odd) and not even.count(0):
        return "utf-16-le"
    return "utf-16-be" if even.count(0) > 0.9 * len(even) and not odd.count(0) else ""


class Transcoded:
    """Text of another encoding as UTF-8. Bytes that are no text become U+FFFD, which no symbol or number contains."""

    def __init__(self, stream: Readable, codec: codecs.CodecInfo) -> None:
        """Decode `stream` with `codec`."""
        self.raw = stream.raw
        self._stream = stream
        self._decoder = codec.incrementaldecoder("replace")
        self._ready = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; fewer only at the end."""
        parts = [self._ready.read(size)]
        missing = size - len(parts[0])
        while missing > 0 and (piece := self._stream.read(PIECE_BYTES)):
            self._ready = io.BytesIO(self._decoder.decode(piece).encode())
            parts.append(self._ready.read(missing))
            missing -= len(parts[-1])
        if missing > 0:
            parts.append(self._decoder.decode(b"", final=True).encode()[:missing])
        return b"".join(parts)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class LineFeeds:
    """Text whose lines end with a line feed: those of an old Macintosh end with a carriage return alone."""

    def __init__(self, stream: Readable) -> None:
        """Read `stream`; its first piece decides."""
        self.raw = stream.raw
        self._stream = stream
        self._first: bytes | None = None
        self._old = False

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; fewer only at the end."""
        piece = self._stream.read(size)
        if self._first is None:
            self._first = piece
            self._old = b"\r" in piece and b"\n" not in piece
        return piece.replace(b"\r", b"\n") if self._old else piece

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
