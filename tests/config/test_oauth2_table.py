"""Tables of authorization servers and of oauth2 credentials: what would send a secret astray is refused at load."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rotator.config.kinds.oauth2 import AuthorizationServerModel, OAuth2Model, problems


@pytest.mark.parametrize("issuer", ["https://login.example.org", "https://login.example.org:8443/tenant/"])
def test_an_https_url_is_an_issuer(issuer: str) -> None:
    """It is kept letter by letter, because it is compared so."""
    assert AuthorizationServerModel(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "login.example.org",
        "http://login.example.org",
        "https://",
        "https://login.example.org?tenant=1",
        "https://login.example.org#a",
        "https://me@login.example.org",
        "https://login.example.org:x",
        "https://login.example.org/a b",
        "https://login.example.org/a\r\nb",
        "https://[::1",
    ],
)
def test_anything_else_is_none(issuer: str) -> None:
    """RFC 8414, 2."""
    with pytest.raises(ValidationError):
        AuthorizationServerModel(issuer=issuer)


@pytest.mark.parametrize("path", ["clients/billing", "team_a/oauth.v2/billing"])
def test_a_path_of_somebody_else_is_taken(path: str) -> None:
    """Whoever registers the client writes there."""
    assert list(problems(OAuth2Model(server="main", client_id="c", client_path=path))) == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/clients",
        "clients/",
        "a//b",
        "../agents/x",
        "a/../b",
        "a/*",
        "a?version=1",
        "agents/billing/api",
        "proxies/edge/tls",
        "oauth2/billing/api",
        "signers/x",
        "agents",
        "a" * 300,
    ],
)
def test_a_path_that_leads_astray_is_not(path: str) -> None:
    """Agents read below `agents/`, and `oauth2/` is overwritten with each rotation."""
    (found,) = problems(OAuth2Model(server="main", client_id="c", client_path=path))
    assert found[0] == "client_path"


@pytest.mark.parametrize("scope", [" ", "a  b", 'a"b', "a\nb", "ä"])
def test_a_scope_is_words_with_one_space_between(scope: str) -> None:
    """RFC 6749, A.4."""
    with pytest.raises(ValidationError):
        OAuth2Model(server="main", client_id="c", client_path="clients/c", scope=scope)
