"""An object store with the S3 protocol: how to reach it, the paths in it, and the operations that a lake needs.

Arrow's S3 file system reads and writes objects. It has no conditional put, and none of these operations needs one: a data file
has a name that nothing else has, and what decides who writes is the log of a table, which delta-rs commits with a conditional
put. An object is written whole or not at all, and is never seen in part.
"""

from __future__ import annotations

import configparser
import os
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from pyarrow import fs

from finance_storage.errors import RequestError, StoreUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEME = "s3://"
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
ATTEMPTS = 5


class CredentialsError(RequestError, OSError):
    """The credentials of the object store cannot be read; the message says why, and never has a secret."""


@dataclass(frozen=True)
class ObjectStore:
    """How to reach an object store. It holds no secret, so it can be logged and sent to Spark's workers.

    Attributes:
        endpoint: URL of the server; empty for AWS itself
        region: name of the region
        credentials_file: file with the keys, in the format of ~/.aws/credentials; each process reads it by itself
        cache: folder for copies of data files
        cache_bytes: how large the copies together may be

    """

    endpoint: str = ""
    region: str = "us-east-1"
    credentials_file: str = ""
    cache: str = ""
    cache_bytes: int = 4 << 30

    def file_system(self) -> fs.S3FileSystem:
        """Return Arrow's file system, one for each process and store. Raises CredentialsError."""
        return _file_system(self, os.getpid())

    def delta_options(self) -> dict[str, str]:
        """Return the options with which delta-rs reads and commits. Raises CredentialsError."""
        keys = _keys(self.credentials_file)
        address = {"aws_endpoint_url": self.endpoint} if self.endpoint else {}
        return {
            **keys,
            **address,
            "aws_region": self.region,
            "aws_conditional_put": "etag",
            "aws_allow_http": str(self.endpoint.startswith("http://")).lower(),
            "connect_timeout": f"{CONNECT_SECONDS:.0f}s",
            "timeout": f"{REQUEST_SECONDS:.0f}s",
        }


@dataclass(frozen=True)
class BucketPath:
    """A path in a bucket: of an object, or of a prefix with objects below it. It behaves like a Path as far as it has to."""

    store: ObjectStore
    key: str  # with the bucket in front

    @classmethod
    def of(cls, store: ObjectStore, uri: str) -> BucketPath:
        """Return the path of a URI such as `s3://bucket/prefix`, as `PlaceSettings` allows them."""
        return cls(store, uri.removeprefix(SCHEME).rstrip("/"))

    def __truediv__(self, name: str) -> BucketPath:
        """Return a path below this one."""
        return BucketPath(self.store, f"{self.key}/{name}")

    def __str__(self) -> str:
        """Return the URI."""
        return f"{SCHEME}{self.key}"

    @property
    def parent(self) -> BucketPath:
        """The path without its last part."""
        return BucketPath(self.store, self.key.rpartition("/")[0])

    @cached_property
    def parents(self) -> Sequence[BucketPath]:
        """The paths above this one, the nearest first."""
        above = [self.parent]
        while "/" in above[-1].key:
            above.append(above[-1].parent)
        return above

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the last part, from its last dot on."""
        return Path(self.name).suffix

    def opened(self) -> BinaryIO:
        """Open an object for reading at any position. Raises FileNotFoundError, StoreUnavailableError."""
        with outages_named(self):
            return cast("BinaryIO", self.store.file_system().open_input_file(self.key))

    def read(self) -> bytes:
        """Read an object. Raises FileNotFoundError, StoreUnavailableError."""
        with outages_named(self), self.store.file_system().open_input_file(self.key) as file:
            content = bytes(file.read())
            if len(content) != file.size():
                raise OSError(f"it has {file.size()} bytes, {len(content)} arrived")
        return content

    def status(self) -> os.stat_result | None:
        """Return size and time of an object; None if there is none. Raises StoreUnavailableError."""
        with outages_named(self):
            info = self.store.file_system().get_file_info(self.key)
        return None if info.type is fs.FileType.NotFound else _status(info)

    def listed(self) -> dict[str, os.stat_result]:
        """Return the objects and prefixes directly below, by name; empty if there are none. Raises StoreUnavailableError."""
        with outages_named(self):
            infos = self.store.file_system().get_file_info(fs.FileSelector(self.key, allow_not_found=True))
        return {info.base_name: _status(info) for info in infos if info.base_name}

    def write(self, content: bytes | memoryview) -> None:
        """Write an object, or replace it. Raises StoreUnavailableError."""
        with outages_named(self), self.store.file_system().open_output_stream(self.key) as file:
            file.write(content)

    def copy_to(self, target: BucketPath) -> None:
        """Copy an object within the store. Raises FileNotFoundError, StoreUnavailableError."""
        with outages_named(self):
            self.store.file_system().copy_file(self.key, target.key)

    def remove(self) -> None:
        """Remove an object, or everything below a prefix. It need not exist. Raises StoreUnavailableError."""
        with outages_named(self):
            system = self.store.file_system()
            below = system.get_file_info(fs.FileSelector(self.key, recursive=True, allow_not_found=True))
            # The deepest first: a server that stores objects as files deletes a folder only if it is empty.
            for info in sorted([system.get_file_info(self.key), *below], key=lambda info: info.path.count("/"), reverse=True):
                if info.type is fs.FileType.File:
                    system.delete_file(info.path)
                elif info.type is fs.FileType.Directory:
                    system.delete_dir(info.path)

    def require_bucket(self) -> None:
        """Raise FileNotFoundError if there is no such bucket, and StoreUnavailableError."""
        bucket = BucketPath(self.store, self.key.partition("/")[0])
        if bucket.status() is None:
            raise FileNotFoundError(f"{self.store.endpoint or 'AWS'} has no bucket {bucket.key}")


@contextmanager
def outages_named(path: BucketPath) -> Iterator[None]:
    """Raise StoreUnavailableError for an error of the object store, except if an object does not exist."""
    try:
        yield
    except (FileNotFoundError, StoreUnavailableError, CredentialsError):
        raise
    except OSError as error:
        raise StoreUnavailableError(f"The object store has failed at {path}: {first_line(error)}.") from None


def _status(info: fs.FileInfo) -> os.stat_result:
    """Return a file's info as the status that the operating system would give for it."""
    is_file = info.type is fs.FileType.File
    at = info.mtime.timestamp() if info.mtime else time.time()
    kind = (stat.S_IFREG if is_file else stat.S_IFDIR) | 0o600
    return os.stat_result((kind, 0, 0, 1, 0, 0, info.size or 0, int(at), int(at), int(at)))


@lru_cache
def _file_system(store: ObjectStore, _process: int) -> fs.S3FileSystem:
    """Return a file system for a process: Arrow's threads do not survive a fork."""
    keys = _keys(store.credentials_file)
    scheme, _, address = store.endpoint.rpartition("://")
    return fs.S3FileSystem(
        access_key=keys["aws_access_key_id"],
        secret_key=keys["aws_secret_access_key"],
        session_token=keys.get("aws_session_token"),
        region=store.region,
        scheme=scheme or "https",
        endpoint_override=address or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # one request for a small object instead of three
        background_writes=False,
    )


@lru_cache
def _keys(credentials_file: str) -> dict[str, str]:
    if not credentials_file:
        raise CredentialsError("S3_CREDENTIALS_FILE must name a file with the keys of the object store")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(Path(credentials_file).read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"S3_CREDENTIALS_FILE={credentials_file} cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError):  # their messages have the line
        raise CredentialsError(f"S3_CREDENTIALS_FILE={credentials_file} is not in the format of ~/.aws/credentials") from None
    section = parser["default"] if parser.has_section("default") else {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    keys = {name: section[name] for name in names if name in section}
    if not {*names[:2]} <= keys.keys():
        raise CredentialsError(
            f"S3_CREDENTIALS_FILE={credentials_file} must have a section [default] with aws_access_key_id and "
            "aws_secret_access_key"
        )
    return keys
