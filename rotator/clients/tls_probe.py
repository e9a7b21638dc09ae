"""Looks at the certificate that a TLS server really serves: adoption evidence that no reload command can give.

The probe needs no client certificate. In TLS 1.3 (RFC 8446 section 4.4) the server's certificate arrives before the
server judges the client's, so the handshake ends well on our side even where mutual TLS will refuse us a moment
later; in TLS 1.2 it would not, therefore the probe speaks 1.3 only.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from rotator.core.errors import Code, Rejected, Unavailable


@dataclass(frozen=True, slots=True)
class Served:
    """The leaf that was served. serial: upper-case hex; fingerprint: SHA-256 hex of the DER, lower case."""

    serial: str
    fingerprint: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """server_name: sent as SNI, and checked when `trust` is given. trust: PEM certificates; empty means: only look.

    Without `trust` the probe reports what is there, whatever it is; the caller compares the fingerprint with the one
    that was published, which is a stricter test than any chain. No data is sent over the connection.
    """

    host: str
    port: int
    server_name: str = ""
    trust: tuple[str, ...] = ()
    timeout: float = 3.0


def probe(target: Target) -> Served:
    """Exactly one connection. Unavailable when nothing answers, Rejected when the served chain or name is wrong."""
    where = f"{target.host}:{target.port}"
    try:
        with (
            socket.create_connection((target.host, target.port), timeout=target.timeout) as plain,
            _context(target).wrap_socket(plain, server_hostname=target.server_name or target.host) as secured,
        ):
            leaf = secured.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as problem:
        text = f"{where} serves a certificate that does not verify: {problem.verify_message}"
        raise Rejected(Code.PROXY_PROBE_FAILED, text) from None
    except ssl.SSLError as problem:
        text = f"no TLS 1.3 handshake with {where}: {problem.reason or type(problem).__name__}"
        raise Unavailable(Code.PROXY_PROBE_FAILED, text) from None
    except OSError as problem:
        text = f"nothing answers at {where}: {problem.strerror or type(problem).__name__}"
        raise Unavailable(Code.PROXY_PROBE_FAILED, text, hint="is the proxy running?") from None
    if not leaf:
        raise Unavailable(Code.PROXY_PROBE_FAILED, f"{where} served no certificate")
    return _served(leaf)


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if target.trust:
        context.load_verify_locations(cadata="\n".join(target.trust))
        context.check_hostname = bool(target.server_name)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _served(der: bytes) -> Served:
    leaf = x509.load_der_x509_certificate(der)
    return Served(f"{leaf.serial_number:X}", hashlib.sha256(der).hexdigest(), leaf.not_valid_after_utc)
