"""A file that only grows, durable at every step: what the audit chain is written to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from rotator.clients import files
from rotator.core.errors import Code, Unavailable

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_ARCHIVE = re.compile(r"\d{12}")


class DurableFile:
    """`ports.AppendFile`. Nothing is opened before `begin`. Not thread-safe: the chain above holds a lock."""

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.abspath(path))
        self._handle: int | None = None

    @property
    def name(self) -> str:
        return str(self._path)

    def begin(self) -> None:
        self.close()
        with files.faults(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.folder(self._path.parent) as parent, files.faults(self._path):
            handle = os.open(self._path.name, _FLAGS, 0o600, dir_fd=parent)
            try:
                files.check_plain(self._path, os.fstat(handle))
                files.take_lock(handle, self._path)
                os.fsync(parent)
            except BaseException:
                os.close(handle)
                raise
        self._handle = handle

    def displaced(self) -> bool:
        with files.faults(self._path):
            try:
                found = os.lstat(self._path)
            except FileNotFoundError:
                return True
            ours = os.fstat(self._open())
            return (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino)

    def size(self) -> int:
        with files.faults(self._path):
            return os.fstat(self._open()).st_size

    def read_tail(self, limit: int) -> bytes:
        with files.faults(self._path):
            return _tail(self._open(), limit)

    def append(self, data: bytes, pause: Callable[[], None] | None = None) -> None:
        with files.faults(self._path):
            handle = self._open()
            before = os.fstat(handle).st_size
            try:
                if pause is None:
                    files.write_all(handle, data)
                else:
                    half = len(data) // 2
                    files.write_all(handle, data[:half])
                    pause()
                    files.write_all(handle, data[half:])
                os.fdatasync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, before)
                raise

    def truncate(self, size: int) -> None:
        with files.faults(self._path):
            os.ftruncate(self._open(), size)
            os.fsync(self._open())

    def set_aside(self, label: str) -> str:
        with files.folder(self._path.parent) as parent, files.faults(self._path):
            name, number = f"{self._path.name}.{label}", 1
            while os.path.lexists(self._path.parent / name):
                number += 1
                name = f"{self._path.name}.{label}-{number}"
            os.rename(self._path.name, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)
            return name

    def newest_archive(self, limit: int) -> bytes | None:
        found = archives(self._path)
        if not found:
            return None
        with files.faults(found[-1]):
            handle = os.open(found[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return _tail(handle, limit)
            finally:
                os.close(handle)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        if self._handle is None:
            raise Unavailable(Code.FILE_WRITE_FAILED, f"{self._path} is not open")
        return self._handle


def archives(path: Path) -> tuple[Path, ...]:
    """Files that were closed by rotation, oldest first: `<name>.<last seq, twelve digits>`."""
    start = f"{path.name}."
    with files.faults(path.parent):
        if not path.parent.is_dir():
            return ()
        names = (name for name in os.listdir(path.parent) if name.startswith(start))
        return tuple(path.parent / name for name in sorted(names) if _ARCHIVE.fullmatch(name.removeprefix(start)))


def read_lines(path: Path, limit: int) -> Iterator[bytes]:
    """The lines of a file with their newlines, in pieces of at most `limit` bytes, for memory that does not grow.

    Raises Denied or Unavailable when it cannot be read.
    """
    with files.faults(path), path.open("rb") as stream:
        while piece := stream.readline(limit):
            yield piece


def _tail(handle: int, limit: int) -> bytes:
    size = os.fstat(handle).st_size
    start = max(0, size - limit)
    found = bytearray()
    while len(found) < size - start:
        piece = os.pread(handle, size - start - len(found), start + len(found))
        if not piece:
            break
        found += piece
    return bytes(found)
