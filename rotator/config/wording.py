"""From the validator's errors to words for people. A given value never enters: it may be a secret in a wrong line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

SECRETS = frozenset(
    {"token", "secret_id", "secret", "password", "passphrase", "client_secret", "jwt", "private_key", "api_key"}
)
_WEAKENING = frozenset(
    {"verify", "verify_tls", "tls_verify", "insecure", "insecure_skip_verify", "skip_verify", "tls_skip_verify"}
)
_WANTED = {
    "string_type": "a text in quotes is wanted",
    "int_type": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "too_short": "at least one is wanted",
    "string_too_long": "is too long; 128 characters are the limit",
    "string_pattern_mismatch": "contains a character that cannot stand here",
    "tuple_type": "a list in brackets is wanted",
    "dict_type": "a table of keys is wanted",
    "model_type": "a table of keys is wanted",
    "path_type": "a path in quotes is wanted",
}


def words(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """(text, hint) of one error that `model` raised."""
    kind, key = error["type"], str(error["loc"][-1]) if error["loc"] else ""
    if kind == "extra_forbidden":
        return _unknown(key, known_keys(model, error["loc"][:-1]))
    if kind == "missing":
        return "is missing", "add it; `rotator init` shows an example of every key"
    return _WANTED.get(kind, error["msg"].removeprefix("Value error, ")), ""


def _unknown(key: str, known: Sequence[str]) -> tuple[str, str]:
    if key.lower().replace("-", "_") in SECRETS:
        return "secrets do not stand in the configuration", "put it into a file of mode 0600 and name that file"
    if key.lower().replace("-", "_") in _WEAKENING:
        return "TLS is verified always; this cannot be switched off", "name the CA in tls.ca_file"
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return "is not a known key", f"did you mean {near[0]}?"
    return "is not a known key", f"known here: {', '.join(known)}" if known else "remove it"


def known_keys(model: type[BaseModel], location: Sequence[int | str]) -> tuple[str, ...]:
    """The keys that the schema knows at a place; empty where it ends."""
    here: Any = model
    for part in location:
        if _is_model(here):
            field = here.model_fields.get(str(part))
            here = None if field is None else field.annotation
        else:
            here = next((inner for inner in get_args(here) if _is_model(inner)), None)
    return tuple(here.model_fields) if _is_model(here) else ()


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)
