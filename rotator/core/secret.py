"""A text that refuses to be shown.

Secrets live in Vault; in this process they exist only between one reply and the next request. Everything that
could copy one into a log, a traceback, a metric or a file by accident raises or prints a mask instead.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

MASK = "[secret]"


class Secret:
    """Wraps one secret text. `reveal()` is the only way to it, so every use can be found by searching for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it at the border (request body, file), never to store the result."""
        return self._text

    def matches(self, other: Secret) -> bool:
        """Constant-time comparison on bytes; `==` is refused because it leaks timing and invites logging."""
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("a Secret is compared with matches(), not with ==")

    def __hash__(self) -> NoReturn:
        raise TypeError("a Secret has no hash: it may not become a key of anything")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")

    def __iter__(self) -> NoReturn:
        raise TypeError("a Secret is not iterated")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a Secret has no {name}; call reveal() where the text is really needed")
