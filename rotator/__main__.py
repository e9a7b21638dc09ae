"""Start of the program."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `rotator` command."""
    from rotator.cli import main as desk

    sys.exit(desk.run())


if __name__ == "__main__":
    main()
