"""TLS contexts that always verify: TLS 1.2 or newer, chain and name checked, nothing taken from the environment.

Made by hand, because `ssl.create_default_context` lets SSL_CERT_FILE replace the trusted CAs and writes session keys
to the file that SSLKEYLOGFILE names.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsContextSettings:
    """ca_file, ca_path: whom to trust, instead of the system's CAs. server_name: the name that the certificate must
    carry, where it is not the host of the address. client_*: PEM files for mutual TLS.
    """

    ca_file: Path | None = None
    ca_path: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str = ""


class ContextSource:
    """Hands out a context that fits the files as they are now: certificates are renewed while we run."""

    def __init__(self, settings: TlsContextSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self._made: tuple[object, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) or ValueError when the files cannot be used."""
        with self._mutex:
            state = self._state()
            if self._made is None or self._made[0] != state:
                self._made = (state, _context(self._settings))
            return self._made[1]

    def _state(self) -> object:
        known = self._settings
        files = (known.ca_file, known.ca_path, known.client_certificate, known.client_key)
        stats = [file.stat() for file in files if file is not None]
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]


def _context(settings: TlsContextSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name from the start
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file or settings.ca_path:
        context.load_verify_locations(
            cafile=str(settings.ca_file) if settings.ca_file else None,
            capath=str(settings.ca_path) if settings.ca_path else None,
        )
    else:
        _trust_the_system(context)
    if settings.client_certificate:
        # The empty password keeps OpenSSL from asking on the terminal for that of an encrypted key.
        context.load_cert_chain(settings.client_certificate, settings.client_key, password="")
    return context


def _trust_the_system(context: ssl.SSLContext) -> None:
    """The CAs at OpenSSL's built-in places; `set_default_verify_paths` would look at the environment first."""
    places = ssl.get_default_verify_paths()
    file, folder = Path(places.openssl_cafile), Path(places.openssl_capath)
    if file.is_file() or folder.is_dir():
        context.load_verify_locations(
            cafile=str(file) if file.is_file() else None, capath=str(folder) if folder.is_dir() else None
        )
