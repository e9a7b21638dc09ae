"""Version directories below one symlink: written whole, made durable, swapped by one rename (FIL-1 to FIL-4, PUB-2).

<root>/current -> versions/<name>      the only thing a consumer follows
<root>/versions/<name>/...             immutable once renamed into place; manifest.json holds its digests
<root>/state/applied.json, lock        ours; not in <root> itself, so that a watch on it sees the swap alone
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from rotator.core.errors import Code, Denied, Unavailable
from rotator.core.secret import Secret

MANIFEST = "manifest.json"
Files = Mapping[str, str | Secret]


class VersionDirectories:
    """group: whose members may read (the proxy's user, for example); empty means the owner alone."""

    def __init__(self, root: Path, group: str = "") -> None:
        self.root = Path(os.path.abspath(root))
        self._gid = _group_id(group) if group else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for one pass. Denied (STATE_DIR_LOCKED) when another process is at work in it."""
        with _faults(self.root):
            self._prepare()
            lock = os.open(self.root / "state/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Denied(Code.STATE_DIR_LOCKED, f"another follower is at work in {self.root}") from None
            yield
        finally:
            os.close(lock)

    def free_name(self, wanted: str) -> str:
        """A name below versions/ that does not exist yet: `wanted`, or with a number after a repair."""
        numbered = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, 1_000_000))
        return next(name for name in numbered if not os.path.lexists(self.path(name)))

    def path(self, name: str) -> Path:
        return self.root / "versions" / name

    def write(self, name: str, files: Files) -> None:
        """Writes a whole version durably. On any failure nothing of it stays and the old state is untouched."""
        temporary = self.path(f".{name}.new")
        with _faults(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
            try:
                self._fill(temporary, files)
                os.rename(temporary, self.path(name))
                _sync(self.root / "versions")
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                shutil.rmtree(self.path(name), ignore_errors=True)
                raise

    def drop(self, name: str) -> None:
        """Removes a version that was refused before it came into force."""
        shutil.rmtree(self.path(name), ignore_errors=True)

    def linked(self) -> str:
        """The version that `current` names; empty when there is none."""
        try:
            target = os.readlink(self.root / "current")
        except OSError:
            return ""
        return PurePosixPath(target).name

    def swap(self, name: str, now: datetime) -> None:
        """Points `current` at a version by one rename, also when it points there already (the move wakes watchers).

        The version that leaves gets `now` as its modification time: its grace time counts from here.
        """
        with _faults(self.root / "current"):
            leaving, link = self.linked(), self.root / "state/next"
            link.unlink(missing_ok=True)
            os.symlink(f"versions/{name}", link)
            os.rename(link, self.root / "current")
            _sync(self.root)
            if leaving and leaving != name and self.path(leaving).is_dir():
                os.utime(self.path(leaving), (now.timestamp(), now.timestamp()))

    def intact(self, name: str) -> bool:
        """Whether every file of a version is there with the content and mode it was written with."""
        folder = self.path(name)
        try:
            manifest: dict[str, str] = json.loads((folder / MANIFEST).read_bytes())
            return bool(manifest) and all(self._same(folder / path, digest) for path, digest in manifest.items())
        except (OSError, ValueError, AttributeError):
            return False

    def sweep(self, keep: frozenset[str], now: datetime, grace: timedelta) -> None:
        """Removes versions that left longer than `grace` ago: a proxy may still read through an old path
        (envoyproxy/envoy#39498)."""
        with contextlib.suppress(OSError):
            for folder in (self.root / "versions").iterdir():
                left = folder.lstat().st_mtime
                if folder.name not in keep and left < (now - grace).timestamp():
                    shutil.rmtree(folder, ignore_errors=True)

    def place(self, path: str, text: str, *, private: bool = False) -> None:
        """Writes one file beside the versions by rename, if its content differs."""
        target = self.root / path
        with _faults(target):
            if target.is_file() and target.read_text(encoding="utf-8") == text:
                return
            temporary = self.root / "state" / f"{target.name}.new"
            temporary.unlink(missing_ok=True)
            self._file(temporary, text.encode(), group=not private)
            os.rename(temporary, target)
            _sync(target.parent)

    def read(self, path: str) -> bytes | None:
        """A file beside the versions, None when absent."""
        with _faults(self.root / path):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def _prepare(self) -> None:
        """Refuses what others could turn against us: a parent in which they may rename, a root that is not ours."""
        for folder, group in ((self.root, True), (self.root / "versions", True), (self.root / "state", False)):
            self._folder(folder, group=group)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                text = f"{folder} is not a directory that only its owner may write"
                raise Denied(Code.FILE_UNSAFE, text, hint="chown it to the follower's user and chmod go-w")
        above = self.root.parent.stat()
        if above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX:
            text = f"others may write in {self.root.parent}, so they could replace {self.root}"
            raise Denied(Code.FILE_UNSAFE, text, hint="chmod go-w the parent, or choose another directory")

    def _folder(self, folder: Path, *, group: bool) -> None:
        if os.path.lexists(folder):
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(0o700)
        if group and self._gid is not None:
            os.chown(folder, -1, self._gid)
            folder.chmod(0o750)

    def _fill(self, folder: Path, files: Files) -> None:
        self._folder(folder, group=True)
        made, digests = {folder}, {}
        for path, content in files.items():
            target = folder / path
            if target.parent not in made:
                self._folder(target.parent, group=True)
                made.add(target.parent)
            body = (content.reveal() if isinstance(content, Secret) else content).encode()
            digests[path] = hashlib.sha256(body).hexdigest()
            self._file(target, body, group=True)
        self._file(folder / MANIFEST, json.dumps(digests, indent=1, sort_keys=True).encode(), group=False)
        for each in made:
            _sync(each)

    def _mode(self, group: bool) -> int:
        return 0o640 if group and self._gid is not None else 0o600

    def _file(self, path: Path, body: bytes, *, group: bool) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            if group and self._gid is not None:
                os.fchown(handle, -1, self._gid)
            os.fchmod(handle, self._mode(group))
            stream.write(body)
            stream.flush()
            os.fsync(handle)

    def _same(self, path: Path, digest: str) -> bool:
        found = path.lstat()
        right_kind = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o777 & ~self._mode(group=True)
        return right_kind and hashlib.sha256(path.read_bytes()).hexdigest() == digest


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Translates the operating system's refusals once: full or failing disks heal, wrong owners do not."""
    try:
        yield
    except PermissionError as problem:
        raise Denied(Code.FILE_WRITE_FAILED, f"{problem.filename or path}: {problem.strerror}") from None
    except OSError as problem:
        raise Unavailable(Code.FILE_WRITE_FAILED, f"{problem.filename or path}: {problem.strerror}") from None


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Denied(Code.CONFIG_INVALID, f"there is no group {group!r} on this machine") from None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
