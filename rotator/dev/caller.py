"""One mTLS request as an agent makes it, with exactly one attempt, and what came of it.

The material is whatever the agent's follower has put into its directory at this moment: the demo lives on what the
product delivers.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Answer(StrEnum):
    """How one attempt ended."""

    PASSED = "passed"  # 200 from the upstream
    DENIED = "denied"  # 403 from the proxy
    REFUSED = "refused"  # the TLS handshake was refused by either side, or the connection was closed for it
    BROKEN = "broken"  # anything else: unreachable, timeout, 5xx, unexpected status


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM files of a client. `ca`: what it trusts; None for certificate and key: it shows none."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is 0 when no HTTP answer came. `serial` is that of the server's certificate, upper-case hex."""

    answer: Answer
    status: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the proxy listens and which name its certificate must carry."""

    host: str
    port: int
    server_name: str
    timeout: float = 5.0


def agent_identity(directory: Path, credential: str = "tls") -> Identity:
    """The identity in an agent's directory: one `current` link resolved once, so that all files are of one version."""
    version = (directory / "current").resolve(strict=True) / credential
    return Identity(version / "chain.pem", version / "fullchain.pem", version / "private_key.pem")


def call(door: Door, identity: Identity, method: str, path: str) -> Outcome:
    """One request on a new connection. Never raises for what the network does."""
    try:
        context = _context(identity)
    except (OSError, ssl.SSLError) as problem:
        return Outcome(Answer.BROKEN, 0, f"own material is unusable: {type(problem).__name__}")
    connection = _Connection(door, context)
    try:
        connection.request(method, path, headers={"Host": door.server_name, "Connection": "close"})
        response = connection.getresponse()
        response.read()
        return _judge(response.status)
    except ssl.SSLError as problem:
        return Outcome(Answer.REFUSED, 0, problem.reason or type(problem).__name__)
    except (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected) as problem:
        # TLS 1.3: the server's refusal of a client certificate arrives after the client has finished.
        return Outcome(Answer.REFUSED, 0, type(problem).__name__)
    except (OSError, http.client.HTTPException) as problem:
        return Outcome(Answer.BROKEN, 0, type(problem).__name__)
    finally:
        connection.close()


def _judge(status: int) -> Outcome:
    if status == 200:
        return Outcome(Answer.PASSED, status)
    return Outcome(Answer.DENIED if status == 403 else Answer.BROKEN, status, f"HTTP {status}")


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The issuing CA is the trust anchor; its own issuer need not be known to an agent.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=str(identity.ca))
    if identity.certificate is not None and identity.key is not None:
        context.load_cert_chain(str(identity.certificate), str(identity.key))
    return context


class _Connection(http.client.HTTPSConnection):
    """Connects to the listener's address while asking for the certificate's name."""

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        super().__init__(door.host, door.port, timeout=door.timeout, context=context)
        self._door = door
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._door.host, self._door.port), self._door.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._door.server_name)
        except BaseException:
            plain.close()
            raise
