"""Which files an agent gets for a credential: PEM files for a certificate, one file per field for every other kind.

A kind that this follower has never heard of is placed like the others: what its fields mean is between the service
and the agent. That it is what was published is proven by the salted fingerprint: the salt lies beside the material
in Vault, the fingerprint is read from Consul, and neither side alone can make the other agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from rotator.clients.directories import Files
from rotator.core.errors import Code, Rejected
from rotator.core.material import SALT, fingerprint, material_of
from rotator.core.secret import Secret
from rotator.follower import material
from rotator.follower.material import Wanted
from rotator.ports import KvVersion, Secrets

# A field becomes a file of this name below the credential's folder: no separators, no `..`, no hidden files.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# What this machine's clock may be behind the service's: those of other kinds have no backdated beginning.
_SLOW_CLOCK = timedelta(seconds=30)


def fetch(secrets: Secrets, wanted: Wanted, now: datetime) -> Files:
    """The published version as files: path below the version's directory -> content, exactly as stored.

    Raises Rejected when it is not what was published, Unavailable when it is gone (then a newer one should be on its
    way), and what `secrets` raises.
    """
    if wanted.facts.get("kind") == material.CERTIFICATE:
        return _certificate(wanted.name, material.fetch(secrets, wanted, now))
    if not wanted.facts.get("fingerprint"):
        text = f"credential {wanted.name} of kind {wanted.facts.get('kind')!r} has no published fingerprint"
        raise Rejected(
            Code.DOCUMENT_UNSUPPORTED, text, hint="update the follower, or the package that brings this kind"
        )
    return _fields(material.stored(secrets, wanted), wanted, now)


def _certificate(name: str, own: material.CertificateSet) -> Files:
    return {
        f"{name}/certificate.pem": own.certificate,
        f"{name}/chain.pem": own.chain,
        f"{name}/fullchain.pem": own.fullchain,
        f"{name}/private_key.pem": own.private_key,
    }


def _fields(stored: KvVersion, wanted: Wanted, now: datetime) -> Files:
    fields, facts = material_of(stored.fields), wanted.facts
    deviations = [*_same(stored, facts), *_valid(facts, now), *_placeable(fields)]
    if deviations:
        raise material.rejected(wanted, deviations)
    return {f"{wanted.name}/{name}": value for name, value in fields.items()}


def _same(stored: KvVersion, facts: Mapping[str, Any]) -> Iterator[str]:
    salt = stored.fields.get(SALT)
    if salt is None or not salt:
        yield "it has no salt"  # an unsalted hash of a weak secret could be guessed, so none is believed
    elif fingerprint(material_of(stored.fields), salt) != facts["fingerprint"]:
        yield "its fingerprint is not the published one"


def _valid(facts: Mapping[str, Any], now: datetime) -> Iterator[str]:
    try:
        starts, ends = (datetime.fromisoformat(facts[name]) for name in ("not_before", "not_after"))
        early, late = now < starts - _SLOW_CLOCK, now >= ends
    except (KeyError, TypeError, ValueError):
        yield "its times cannot be read"
        return
    if early:
        yield f"it is not valid before {starts.isoformat()}"
    if late:
        yield f"it expired at {ends.isoformat()}"


def _placeable(fields: Mapping[str, Secret]) -> Iterator[str]:
    if not fields:
        yield "it holds nothing"
    if not all(_PLAIN.fullmatch(name) for name in fields):
        yield "a field of it has a name that is no plain file name"
