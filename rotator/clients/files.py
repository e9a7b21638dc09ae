"""Local files that survive a crash, a full disk and other people's symlinks (FIL-1 to FIL-3).

Every path is used through an open handle of its folder, so that nobody can exchange the folder between check and use.
Faults: Denied for what a person must repair (owner, mode, read-only), Unavailable for what may heal (full disk, I/O).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret

_HINT = "see `namei -l` for the path; chown it to the user of the service and chmod go-w"
_LASTING = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT})
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.rotator-new")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def faults(path: Path) -> Iterator[None]:
    """Translates the operating system's refusals once, with its own words and never with content."""
    try:
        yield
    except OSError as problem:
        text = f"{path}: {problem.strerror or type(problem).__name__}"
        kind = Denied if problem.errno in _LASTING else Unavailable
        raise kind(Code.FILE_WRITE_FAILED, text, hint="check disk space, owner and mode") from None


@contextlib.contextmanager
def folder(path: Path) -> Iterator[int]:
    """A handle of a folder that nobody but its owner and root can change. Raises Denied (FILE_UNSAFE) otherwise.

    Refused: a folder on the way that group or others may write (sticky ones like /tmp are fine above the last), one
    that belongs to a third user, and a symlink of a third user on the way.
    """
    path = Path(os.path.abspath(path))
    with faults(path):
        _check_way(path)
        handle = os.open(os.path.realpath(path), _FOLDER)
    try:
        with faults(path):
            _check_folder(path, os.fstat(handle), last=True)
        yield handle
    finally:
        os.close(handle)


def write_atomic(path: Path, content: str | bytes | Secret, mode: int = 0o600) -> None:
    """Replaces a file so that a reader, also after a crash, finds the old bytes or the new ones, never a mixture.

    The mode is set before content arrives. Whatever fails, the old file is untouched and the temporary one removed.
    Raises Denied (FILE_UNSAFE) for an unsafe folder, or a target that is no plain file, has more than one hard link,
    belongs to a third user or is open to more people than `mode`; FILE_WRITE_FAILED for everything else.
    """
    body = _bytes(content)
    temporary = f".{path.name}.{secrets.token_hex(8)}.rotator-new"
    with folder(path.parent) as parent, faults(path):
        _check_target(path, parent, mode)
        try:
            _fill(os.open(temporary, _NEW, 0o600, dir_fd=parent), body, mode)
            os.rename(temporary, path.name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise
        os.fsync(parent)


def swap_symlink(link: Path, target: str) -> None:
    """Points `link` at `target` by one rename: a reader sees the old folder or the new one, never none.

    Raises Denied (FILE_UNSAFE) for an unsafe folder or when something that is no symlink stands at `link`.
    """
    temporary = f".{link.name}.{secrets.token_hex(8)}.rotator-new"
    with folder(link.parent) as parent, faults(link):
        found = _lstat(link.name, parent)
        if found is not None and not stat.S_ISLNK(found.st_mode):
            raise Denied(Code.FILE_UNSAFE, f"{link} is not a symlink", hint="move it away; it is not replaced")
        os.symlink(target, temporary, dir_fd=parent)
        try:
            os.rename(temporary, link.name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise
        os.fsync(parent)


def sweep_temporary(path: Path) -> int:
    """Removes what a killed writer left in a folder (K14); returns how many. Call it while no writer is at work."""
    with folder(path) as parent, faults(path):
        left = [name for name in os.listdir(parent) if _TEMPORARY.fullmatch(name)]
        for name in left:
            os.unlink(name, dir_fd=parent)
        if left:
            os.fsync(parent)
        return len(left)


class StateLock:
    """Holds a state directory for this process, until `release` or the end of the process, also a violent one."""

    def __init__(self, state_dir: Path) -> None:
        """Creates the directory (0700) if needed. Raises Denied (STATE_DIR_LOCKED) when another process holds it."""
        with faults(state_dir):
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with folder(state_dir) as parent, faults(state_dir / "lock"):
            self._handle: int | None = os.open("lock", flags, 0o600, dir_fd=parent)
        try:
            with faults(state_dir / "lock"):
                take_lock(self._handle, state_dir)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Safe to repeat. The file stays: removing it would let two processes lock two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take_lock(handle: int, path: Path) -> None:
    """An exclusive flock, not waited for. Raises Denied (STATE_DIR_LOCKED)."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Denied(
            Code.STATE_DIR_LOCKED,
            f"another process works with {path}",
            hint=f"stop it (`fuser -v {path}` names it) or give this instance a state directory of its own",
        ) from None


def _bytes(content: str | bytes | Secret) -> bytes:
    if isinstance(content, bytes):
        return content
    return (content.reveal() if isinstance(content, Secret) else content).encode()


def _fill(handle: int, body: bytes, mode: int) -> None:
    try:
        os.fchmod(handle, mode)
        write_all(handle, body)
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, body: bytes) -> None:
    """One write call where the system takes it whole; a full disk shows at the call after a short one."""
    view = memoryview(body)
    while view:
        view = view[os.write(handle, view) :]


def _lstat(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _check_target(path: Path, parent: int, mode: int) -> None:
    found = _lstat(path.name, parent)
    if found is None:
        return
    check_plain(path, found)
    if found.st_mode & 0o777 & ~mode:
        raise Denied(Code.FILE_UNSAFE, f"{path} is open to more people than mode {mode:o}", hint=f"chmod {mode:o} it")


def check_plain(path: Path, found: os.stat_result) -> None:
    """Raises Denied (FILE_UNSAFE) unless it is a plain file with one name, of ours or of root."""
    if not stat.S_ISREG(found.st_mode):
        raise Denied(Code.FILE_UNSAFE, f"{path} is not a plain file", hint="move it away; it is not replaced")
    if found.st_nlink > 1:
        raise Denied(Code.FILE_UNSAFE, f"{path} has more than one hard link", hint="remove the other name")
    if found.st_uid not in _trusted():
        raise Denied(Code.FILE_UNSAFE, f"{path} belongs to another user", hint=_HINT)


def _check_way(path: Path) -> None:
    for step in (path, *path.parents):
        found = step.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in _trusted():
            raise Denied(Code.FILE_UNSAFE, f"{step} is a symlink of another user", hint=_HINT)
    for step in Path(os.path.realpath(path)).parents:
        _check_folder(step, step.lstat(), last=False)


def _check_folder(path: Path, found: os.stat_result, *, last: bool) -> None:
    if found.st_uid not in _trusted():
        raise Denied(Code.FILE_UNSAFE, f"{path} belongs to another user", hint=_HINT)
    guarded = not last and found.st_mode & stat.S_ISVTX
    if found.st_mode & 0o022 and not guarded:
        raise Denied(Code.FILE_UNSAFE, f"{path} can be written by others", hint=_HINT)


def _trusted() -> tuple[int, int]:
    return (0, os.geteuid())
