"""Every way into a real OpenBao: tokens, AppRole plain and wrapped, JWT, client certificate."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.clients.clock import SystemClock
from rotator.clients.vault import VaultSecrets
from rotator.config.settings import TlsSettings, VaultAuth, VaultAuthMethod
from rotator.core.errors import Code, Denied
from tests.assets.authority import Authority
from tests.clients.vault_site import Server, VaultSite, raised
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.servers
PATH = "agents/billing/tls"


@pytest.fixture
def site(openbao: Server, unique: str) -> VaultSite:
    return VaultSite(openbao, unique)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


def works(secrets: VaultSecrets, site: VaultSite) -> bool:
    return secrets.kv_read(site.kv, PATH) is None


def test_a_given_token_and_a_token_file(site: VaultSite, tmp_path: Path) -> None:
    """The file is what an agent of the platform renews; a final newline is no part of the token."""
    file = tmp_path / "token"
    file.write_text(site.child_token().reveal() + "\n")
    for auth in (
        VaultAuth(VaultAuthMethod.TOKEN, token=site.child_token()),
        VaultAuth(VaultAuthMethod.TOKEN_FILE, token_file=file),
    ):
        secrets, calls = site.open(auth)
        assert works(secrets, site)
        ends = secrets.token_expires_at()
        assert ends is not None
        assert abs(ends - SystemClock().now() - timedelta(hours=1)) < timedelta(seconds=30)
        secrets.close()
        assert calls.count("revoke_self") == 0, "the token belongs to somebody else"


def test_approle(site: VaultSite, tmp_path: Path) -> None:
    """One login for many calls; the token is ended with the process."""
    role_id, file = site.make_approle(), tmp_path / "secret-id"
    file.write_text(site.secret_id())
    secrets, calls = site.open(site.approle_auth(role_id, file))
    assert all(works(secrets, site) for _ in range(3))
    secrets.close()
    assert (calls.count("login"), calls.made[-1]) == (1, ("revoke_self", "204"))


def test_jwt(site: VaultSite, tmp_path: Path) -> None:
    """A platform identity: read anew at each login, because the platform renews it."""
    key = rsa.generate_private_key(65537, 2048)
    mount, file = f"jwt-{site.name}", tmp_path / "jwt"
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    site.write(f"sys/auth/{mount}", type="jwt")
    site.write(f"auth/{mount}/config", jwt_validation_pubkeys=[public])
    site.write(
        f"auth/{mount}/role/service",
        role_type="jwt",
        user_claim="sub",
        bound_audiences=["vault"],
        token_policies=[site.name],
    )
    file.write_text(_jwt(key))
    secrets, _ = site.open(VaultAuth(VaultAuthMethod.JWT, mount=mount, role="service", jwt_file=file))
    assert works(secrets, site)


def _jwt(key: rsa.RSAPrivateKey) -> str:
    now = int(SystemClock().now().timestamp())
    claims = {"sub": "rotator", "aud": "vault", "iat": now, "nbf": now - 5, "exp": now + 60}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(key.sign(signed, padding.PKCS1v15(), SHA256())).rstrip(b"=")
    return (signed + b"." + signature).decode()


def test_a_client_certificate_that_is_renewed_on_disk(site: VaultSite, tmp_path: Path) -> None:
    """The next login shows the new certificate, not the one that the kept connection was opened with."""
    authority, mount = Authority(SystemClock().now()), f"cert-{site.name}"
    site.write(f"sys/auth/{mount}", type="cert")
    site.write(f"auth/{mount}/certs/service", certificate=authority.pem, token_policies=[site.name])
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def deliver(by: Authority) -> None:
        pem, private = by.leaf(SystemClock().now())
        certificate.write_text(pem)
        key.write_text(private)

    deliver(Authority(SystemClock().now()))  # of a CA that is not trusted
    auth = VaultAuth(VaultAuthMethod.CERT, mount=mount, role="service")
    known = site.settings(auth)
    clock = FakeClock(datetime.now(UTC))
    tls = TlsSettings(known.tls.ca_file, client_certificate=certificate, client_key=key)
    secrets = VaultSecrets(replace(known, tls=tls), clock)
    assert raised(lambda: works(secrets, site)).code is Code.VAULT_LOGIN_REFUSED
    deliver(authority)
    clock.advance(timedelta(seconds=5))
    assert works(secrets, site)


def test_a_wrapped_secret_id_is_unwrapped_once(site: VaultSite, tmp_path: Path, clock: FakeClock) -> None:
    """A second login finds the secret-id in memory: the wrapping token is used up by then."""
    role_id, file = site.make_approle(), tmp_path / "wrapped"
    file.write_text(site.wrapped(f"auth/{site.approle}/role/service/secret-id"))
    secrets, calls = site.open(site.approle_auth(role_id, file, wrapped=True), clock)
    assert works(secrets, site)
    clock.advance(timedelta(hours=2))
    assert works(secrets, site)
    assert (calls.count("login"), calls.count("unwrap")) == (2, 1)


def test_a_wrapped_secret_id_used_by_somebody_else_is_a_security_event(
    site: VaultSite, tmp_path: Path, clock: FakeClock
) -> None:
    """Whoever unwrapped it can log in as us: no second try, no login."""
    role_id, file = site.make_approle(), tmp_path / "wrapped"
    wrapping = site.wrapped(f"auth/{site.approle}/role/service/secret-id")
    site.write("sys/wrapping/unwrap", token=wrapping)
    file.write_text(wrapping)
    secrets, calls = site.open(site.approle_auth(role_id, file, wrapped=True), clock)
    fault = raised(lambda: works(secrets, site))
    assert (type(fault), fault.code) == (Denied, Code.VAULT_WRAPPING_SUSPECT)
    assert "own earlier try" not in fault.text
    assert [name for name, _ in calls.made] == ["wrapping_lookup"]
    assert wrapping not in f"{fault!r}{fault.hint}"


def test_what_was_wrapped_elsewhere_is_not_unwrapped(site: VaultSite, tmp_path: Path) -> None:
    """An attacker's own secret-id would make us log in as somebody else; a prefix of the path is not enough."""
    role_id, file = site.make_approle(), tmp_path / "wrapped"
    site.write(f"auth/{site.approle}/role/service-2", token_policies=[site.name])
    file.write_text(site.wrapped(f"auth/{site.approle}/role/service-2/secret-id"))
    secrets, calls = site.open(site.approle_auth(role_id, file, wrapped=True))
    assert raised(lambda: works(secrets, site)).code is Code.VAULT_WRAPPING_SUSPECT
    assert [name for name, _ in calls.made] == ["wrapping_lookup"]


def test_a_missing_or_unfit_file_causes_no_call(site: VaultSite, tmp_path: Path) -> None:
    """A local failure must not load the server (hashicorp/vault#22789)."""
    file = tmp_path / "secret-id"
    secrets, calls = site.open(site.approle_auth("role", file))
    assert raised(lambda: works(secrets, site)).code is Code.CONFIG_UNREADABLE
    file.write_text("two words")
    secrets, calls = site.open(site.approle_auth("role", file))
    fault = raised(lambda: works(secrets, site))
    assert fault.code is Code.CONFIG_INVALID
    assert "two words" not in fault.text
    assert calls.made == []


def test_a_dead_given_token_says_so(site: VaultSite) -> None:
    """There is nothing to log in with: the person who gave it must give another one."""
    token = site.child_token()
    secrets, _ = site.open(VaultAuth(VaultAuthMethod.TOKEN, token=token))
    assert works(secrets, site)
    site.revoke(token)
    assert raised(lambda: works(secrets, site)).code is Code.VAULT_LOGIN_REFUSED
