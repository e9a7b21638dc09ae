"""The public fingerprint of secret material: proof that two sides hold the same, and nothing to guess from."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from rotator.core.secret import Secret

# Names of a stored version that are no material. FACTS: its public truths as JSON. SALT: 32 hex digits.
FACTS = "facts"
SALT = "salt"


def fingerprint(fields: Mapping[str, Secret], salt: Secret) -> str:
    """HMAC-SHA256 hex over the canonical JSON of the material.

    Keyed with a random salt that lies beside the material and is never published: facts are public, and a plain hash
    of a weak password (a database's own password policy) could be guessed at leisure.
    """
    revealed = {name: secret.reveal() for name, secret in fields.items()}
    text = json.dumps(revealed, sort_keys=True, separators=(",", ":"))
    return hmac.new(salt.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()


def material_of(stored: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """What consumers use of a stored version: everything but its facts and its salt."""
    return {name: secret for name, secret in stored.items() if name not in (FACTS, SALT)}
