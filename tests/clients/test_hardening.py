"""A process that handles secrets leaves no picture of its memory behind."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import ctypes, os, resource
from rotator.clients.hardening import give_up_core_files
give_up_core_files()
print(resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_no_core_file_and_not_dumpable() -> None:
    """Asked of a process of its own, because the limits cannot be taken back. 3 is PR_GET_DUMPABLE."""
    told = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["(0,", "0)", "0o77", "0"]
