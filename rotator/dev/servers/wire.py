"""One HTTPS question to a server of ours while it starts: init, unseal, seal, health."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is 0 when nothing answered; `body` is the decoded JSON, empty when there is none."""

    status: int
    body: Any = None


class Wire:
    """Asks 127.0.0.1:`port`, one connection per question, with the throw-away CA alone as trust."""

    def __init__(self, port: int, ca_file: Path | None, token_header: str, timeout: float = 5.0) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        self._token_header = token_header
        self._timeout = timeout

    def ask(
        self, method: str, path: str, token: Secret | None = None, body: Mapping[str, Any] | None = None, form: str = ""
    ) -> Reply:
        """body: sent as JSON; form: sent as it is, as a form. Never raises for what the network does: a server that
        starts refuses, resets and answers half."""
        connection = self._connect()
        headers = {self._token_header: token.reveal()} if token else {}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        content = json.dumps(body) if body is not None else form or None
        try:
            connection.request(method, path, body=content, headers=headers)
            answer = connection.getresponse()
            received = answer.read()
            return Reply(answer.status, json.loads(received) if received else None)
        except ValueError:
            return Reply(answer.status)
        except (OSError, http.client.HTTPException):
            return Reply(0)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        return http.client.HTTPSConnection("127.0.0.1", self._port, timeout=self._timeout, context=self._context)
