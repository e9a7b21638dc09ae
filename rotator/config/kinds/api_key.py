"""`api_key = { alphabet, length, prefix }` of a credential of kind `api_key`."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from rotator.config.fields import Model
from rotator.core.kind_settings import ApiKeySettings

# Fewer could be guessed by somebody who can try (OWASP ASVS 5.0, 7.2.3: 128 bits of entropy for reference tokens).
LEAST_BITS = 128
SAFE_IN_HEADERS = frozenset(string.ascii_letters + string.digits + "-._~+/=!#$%&'*^`|")


class ApiKeyModel(Model):
    """`prefix` helps scanners of leaked secrets to know it; it adds no strength."""

    alphabet: str = string.ascii_letters + string.digits
    length: Annotated[int, Field(ge=1, le=4096)] = 40
    prefix: Annotated[str, Field(max_length=32)] = ""


def problems(model: ApiKeyModel) -> Iterator[tuple[str, str, str]]:
    """(key, text, hint) for what a schema cannot say."""
    letters = set(model.alphabet)
    if len(letters) != len(model.alphabet) or len(letters) < 2:
        yield "alphabet", "two or more different characters are wanted, each once", "a repeated one comes too often"
    elif not letters | set(model.prefix) <= SAFE_IN_HEADERS:
        text = "a character that does not pass in a header or a URL unharmed"
        yield "alphabet", text, "letters, digits and -._~ are always safe; this holds for prefix too"
    elif model.length * math.log2(len(letters)) < LEAST_BITS:
        bits = int(model.length * math.log2(len(letters)))
        needed = math.ceil(LEAST_BITS / math.log2(len(letters)))
        text = f"{model.length} characters of {len(letters)} are {bits} bits; {LEAST_BITS} are wanted"
        yield "length", text, f"{needed} or more"


def settings(model: ApiKeyModel) -> ApiKeySettings:
    return ApiKeySettings(model.alphabet, model.length, model.prefix)
