"""What a process that handles secrets gives up: core files, being looked into by its own user, loose file modes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def give_up_core_files() -> None:
    """No core file, no ptrace by other processes of the same user, files for ourselves alone (reliability SEC-3).

    Best effort: the prctl is Linux only, and the unit file sets the same limits from outside.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
