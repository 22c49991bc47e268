"""Read a file for `remote`, with limited memory: `python -m finance_producer.reading.process MB`.

A file of a kilobyte can unpack to gigabytes, and a deeply nested one can crash its reader. Either ends only this process. On
Linux the kernel limits the memory; on other systems only the size of a block does.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from finance_producer.reading import frames
from finance_producer.reading.columns import NANOS, SIZE, TIME, by_role
from finance_producer.reading.options import AmbiguousError, Options, UnreadableFileError
from finance_producer.reading.reader import read

if TYPE_CHECKING:
    from finance_producer.reading.prices import NumberFormat
    from finance_producer.reading.reader import Reading

MEGABYTE = 1024 * 1024


def main() -> None:
    """Read the file that the request on standard input names; write its plan, its blocks, and an end or a failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=frames.Request)
    options = msgspec.json.decode(request.options, type=Options)
    file, megabytes, out = Path(request.file), int(sys.argv[1]), sys.stdout.buffer
    pa.set_memory_pool(pa.system_memory_pool())  # returns freed memory to the system
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _confine(megabytes)
    try:
        reading = read(file, options)
        frames.write(out, frames.PLAN, msgspec.json.encode(described(reading)))
        for block in reading.converted:
            frames.write_block(out, block)
        frames.write(out, frames.END)
    except AmbiguousError as error:
        _fail(str(error), error.question, error.choices)
    except UnreadableFileError as error:
        _fail(str(error))
    except (MemoryError, RecursionError):  # ArrowMemoryError is a MemoryError
        _fail(
            f"{file} cannot be read: it needs more than {megabytes} MB of memory. Write it with smaller row groups, or as CSV."
        )
    except BrokenPipeError:
        return  # the parent wants no more


def _fail(message: str, question: str = "", choices: dict[str, str] | None = None) -> None:
    failure = frames.Failure(message, question, choices or {})
    frames.write(sys.stdout.buffer, frames.FAILURE, msgspec.json.encode(failure))


def _confine(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * MEGABYTE,) * 2)


def described(reading: Reading) -> frames.Described:
    """Describe how a file is read."""
    plan = reading.plan
    places = plan.columns.places
    return frames.Described(
        reading.kind,
        reading.compression,
        reading.encoding,
        reading.delimiter,
        dict(by_role(plan.columns, reading.names)),
        plan.symbol,
        list(plan.columns.unused),
        _numbers(plan.price),
        _numbers(plan.size) if SIZE in places else "",
        _times(reading) if TIME in places else "",
        plan.ticks_per_row,
        TIME in places,
        plan.time.is_assumed,
    )


def _numbers(form: NumberFormat) -> str:
    parts = ["decimal comma" if form.mark == "," else "decimal point"]
    parts += [f"times {form.scale}"] if form.scale != 1 else []
    parts += [f"rounded to {form.decimals} decimals"] if form.decimals is not None else []
    return ", ".join(parts)


def _times(reading: Reading) -> str:
    form = reading.plan.time
    nanos = ", with nanoseconds of their own" if NANOS in reading.plan.columns.places else ""
    return f"numbers in {form.unit}, dates as {form.order}, {form.zone} where none is named{nanos}"


if __name__ == "__main__":
    main()
