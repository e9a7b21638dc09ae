"""The files that the configuration names: who can read and write them, and whether they bite their own tail."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from rotator.config.inventory import Inventory
from rotator.config.problems import Place, Problem
from rotator.config.reading import FOREIGN_WRITE
from rotator.config.schema import MainModel, TlsModel
from rotator.config.settings import VaultAuthMethod
from rotator.core.identity import Owner, OwnerKind, spiffe_id

Found = tuple[tuple[Problem, ...], tuple[Problem, ...]]


def files(main: MainModel, inventory: Inventory, place: Place) -> Found:
    """(refused, warned about). A file that is not there is no problem here: `validate` runs in CI as well."""
    refused: list[Problem] = []
    warned: list[Problem] = []
    for path, file in _secret_files(main):
        found = _stat(file)
        if found is None:
            continue
        if found.st_mode & FOREIGN_WRITE:
            refused.append(place(path, f"group or others may write {file}", f"chmod go-w {file}"))
        readers = _readers(found)
        if readers:
            # Kubernetes puts service account tokens into files that everybody in the container may read.
            said = warned if path[-1] == "jwt_file" else refused
            said.append(place(path, f"{readers} may read {file}", f"chmod go-rwx {file}"))
    refused += _own_token(main, inventory, place)
    for section, tls in _tls(main):
        refused += _own_tail(main, inventory, ((section, "tls", "client_certificate"), tls.client_certificate), place)
    return tuple(refused), tuple(warned)


def _secret_files(main: MainModel) -> Iterator[tuple[tuple[str, ...], Path]]:
    auth = main.vault.auth
    named: tuple[tuple[tuple[str, ...], Path | None], ...] = (
        (("vault", "auth", "token_file"), auth.token_file),
        (("vault", "auth", "secret_id_file"), auth.secret_id_file),
        (("vault", "auth", "jwt_file"), auth.jwt_file),
        (("consul", "token_file"), main.consul.token_file),
        *(((section, "tls", "client_key"), tls.client_key) for section, tls in _tls(main)),
    )
    for path, file in named:
        if file is not None:
            yield path, file


def _tls(main: MainModel) -> tuple[tuple[str, TlsModel], ...]:
    return ("vault", main.vault.tls), ("consul", main.consul.tls)


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except (OSError, ValueError):
        return None


def _readers(found: os.stat_result) -> str:
    """Who else may read a secret; empty when nobody who should not.

    A file of root may be readable by one group: that is how packages (root:rotator 0640), Kubernetes (fsGroup) and
    systemd (LoadCredential, whose ACL shows as group bits) hand a secret to a service that is not root.
    """
    if found.st_mode & stat.S_IROTH:
        return "everybody"
    handed_over = found.st_uid == 0 and (found.st_gid != 0 or os.geteuid() != 0)
    return "its group" if found.st_mode & stat.S_IRGRP and not handed_over else ""


def _own_tail(
    main: MainModel, inventory: Inventory, named: tuple[tuple[str, ...], Path | None], place: Place
) -> Iterator[Problem]:
    """A login that rests on what we rotate ends with our first mistake: nobody could log in to repair it."""
    path, file = named
    ours = _ours(main, inventory) if file else {}
    for uri in _uris(file) if file else ():
        if uri in ours:
            text = f"is the certificate of {ours[uri]}, which this service rotates"
            yield place(path, text, "log in with a certificate that somebody else renews")


def _own_token(main: MainModel, inventory: Inventory, place: Place) -> Iterator[Problem]:
    """As `_own_tail`, for a login with a token: one of our signing key, or with the name of somebody of ours."""
    file = main.vault.auth.jwt_file
    claims = _claims(file) if file and main.vault.auth.method is VaultAuthMethod.JWT else {}
    issued = claims.get("iss") == (main.tokens.issuer or f"spiffe://{main.trust_domain}")
    if issued or claims.get("sub") in _ours(main, inventory):
        text = "holds a token that this service issues and rotates"
        yield place(("vault", "auth", "jwt_file"), text, "log in with a token of the platform, such as Kubernetes")


def _ours(main: MainModel, inventory: Inventory) -> dict[str, Owner]:
    owners = [Owner(OwnerKind.AGENT, name) for name in inventory.agents]
    owners += [Owner(OwnerKind.PROXY, name) for name in inventory.proxies]
    return {spiffe_id(main.trust_domain, owner): owner for owner in owners}


def _claims(file: Path) -> dict[str, str]:
    """The texts that a JWT says of itself, unverified; none when the file is not there or holds something else."""
    try:
        payload = file.read_text("ascii").strip().split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (OSError, ValueError, IndexError, RecursionError):
        return {}
    told = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in told if isinstance(value, str)}


def _uris(file: Path) -> list[str]:
    """URI names of the first certificate in a file; none when there is no such file."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)
    except (OSError, ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
