"""A credential has leaked: refused by documents first, replaced second, ended third, whatever else is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from rotator.core.errors import Code, Denied, Rejected, Unavailable
from rotator.core.events import Event
from rotator.core.identity import CredentialId
from rotator.core.model import Facts
from rotator.core.reasons import Reason
from rotator.ports import Delete, Fence, Put
from rotator.publish.document import Document
from rotator.records.requests import RequestKind, RequestState
from tests.assets.authority import Authority
from tests.fakes.consul import When
from tests.fakes.vault import Operation

from .world import ALL, BILLING, EDGE_TLS, REPORTS, TTL, Instance, Street, fleet, other_proxy

MINUTE = timedelta(minutes=1)


def settled(street: Street) -> Instance:
    one = street.start()
    one.settle()
    return one


def current(street: Street, target: CredentialId = BILLING) -> Facts:
    facts = street.record(target).current
    assert facts is not None
    return facts


def document(street: Street, proxy: str = "edge") -> Document:
    return street.shelf.document(proxy, street.pointer(proxy))


def refused(street: Street, proxy: str = "edge") -> set[str]:
    """Fingerprints that the document in force refuses."""
    return {one["fingerprint"] for one in document(street, proxy).content["trust"].get("denied", [])}


def listed(street: Street) -> set[int]:
    """Serials on the published CRL."""
    crl = document(street).content["trust"].get("crl") or []
    return {one.serial_number for pem in crl for one in x509.load_pem_x509_crl(pem.encode())}


def test_refused_replaced_and_ended(street: Street) -> None:
    """The whole story with everything at hand, and what each step leaves in the audit."""
    one, old = settled(street), current(street)
    asked = street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    one.settle()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert (street.version(), street.version(REPORTS)) == (2, 1)
    assert refused(street) == {old.fingerprint}
    assert street.kv_versions() == (2,)
    assert street.pki.revoked == listed(street) == {int(old.serial, 16)}
    (retired,) = one.events("retired", BILLING)
    assert (retired.cause.reason, retired.cause.request) == (Reason.COMPROMISE, asked)
    published = [line.cause for line in one.events("document_published") if line.cause.reason is Reason.COMPROMISE]
    assert [cause.request for cause in published] == [asked]


def test_an_owner_means_all_its_credentials_and_nobody_elses(street: Street) -> None:
    """`compromise edge` of a proxy: its certificate is replaced, and no agent is refused for it."""
    one = settled(street)
    asked = street.ask(RequestKind.COMPROMISE, "proxy/edge")
    one.settle()
    one.settle()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert [street.version(target) for target in ALL] == [1, 1, 2]
    assert refused(street) == set()
    assert street.kv_versions(EDGE_TLS) == (2,)


def test_the_refusal_waits_neither_for_vault_nor_for_a_walk(street: Street) -> None:
    """With Vault away the old one is refused in the same cycle; the new one follows when Vault is back."""
    one, old = settled(street), current(street)
    street.secrets.fail(Operation.ISSUE, times=1000)
    street.pki.trouble = Unavailable(Code.VAULT_UNREACHABLE, "Vault did not answer")
    asked = street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.run()
    assert refused(street) == {old.fingerprint}
    assert (street.version(), street.answer(asked).state) == (1, RequestState.RUNNING)
    street.secrets.heal()
    street.pki.trouble = None
    street.clock.advance(5 * MINUTE)
    one.settle()
    one.settle()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert street.version() == 2


def test_a_new_leader_without_vault_refuses_what_the_old_one_was_told(street: Street) -> None:
    """It has no CA of its own yet: what is in force is published again, with the denial."""
    one, old = settled(street), current(street)
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    before = document(street).content

    def dies(operation: str, when: When) -> None:
        if operation == "commit" and when is When.AFTER and street.record().denied:
            raise SystemExit

    street.meet(dies)
    with pytest.raises(SystemExit):
        one.run()
    street.consul.reach = lambda operation, when: None  # type: ignore[method-assign]
    street.depose(one)
    street.secrets.fail(Operation.CHAIN, times=1000)
    street.secrets.fail(Operation.ISSUE, times=1000)
    street.start("two").run()
    after = document(street).content
    assert refused(street) == {old.fingerprint}
    assert after["config"] == before["config"]
    assert after["trust"]["bundle"] == before["trust"]["bundle"]
    assert after["certificates"] == before["certificates"]


def test_a_proxy_that_cannot_be_published_does_not_keep_the_refusal_from_others(street: Street) -> None:
    """A damaged key of one proxy is that proxy's trouble, also before the walk."""
    west = other_proxy()
    agents = tuple(replace(one, scopes=(*one.scopes, replace(one.scopes[0], proxy="west"))) for one in fleet().agents)
    street.fleet = replace(fleet(), agents=agents, proxies=(*fleet().proxies, west))
    one, old = settled(street), current(street)
    street.secrets.fail(Operation.ISSUE, times=1000)
    keys = one.reign.realm.keys
    put = keys.commit

    def refusing(writes: Sequence[Put | Delete], fence: Fence | None) -> Mapping[str, int]:
        if any(write.key.startswith("proxy/edge/") for write in writes):
            raise Denied(Code.CONSUL_DENIED, "no right")
        return put(writes, fence)

    seen: list[set[str]] = []
    walk = one.reign.walk

    def looking() -> tuple[Event, ...]:
        seen.append(refused(street, "west"))
        return walk()

    keys.commit = refusing  # type: ignore[method-assign]
    one.reign.walk = looking  # type: ignore[method-assign]
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.run()
    assert seen == [{old.fingerprint}]


def test_a_credential_that_left_the_configuration_stays_refused(street: Street) -> None:
    """Taking a leaked credential out of the inventory must not let the leaked one in again."""
    one, old = settled(street), current(street)
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    first, *others = fleet().agents
    renamed = replace(first.credentials[0], id=replace(BILLING, name="other"), kv_path="agents/billing/other")
    street.fleet = replace(fleet(), agents=(replace(first, credentials=(renamed,)), *others))
    one.cycle.change_realm(one.realm(street.fleet))
    one.settle()
    assert refused(street) == {old.fingerprint}


def test_a_rollback_keeps_the_refusal(street: Street) -> None:
    """The old version of the document knew nothing of the leak; trust only moves forward."""
    one, old = settled(street), current(street)
    street.fleet = fleet("/invoices")
    one.cycle.change_realm(one.realm(street.fleet))
    one.settle()
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.run()
    assert street.answer(asked).state is RequestState.SUCCEEDED
    assert street.document_path() == "/orders"
    versions = [street.shelf.document("edge", number) for number in street.shelf.numbers("edge")]
    reported = next(n for n, one in enumerate(versions) if one.content["trust"].get("denied"))
    assert all(one.content["trust"].get("denied") for one in versions[reported:])
    assert refused(street) == {old.fingerprint}
    assert listed(street) == {int(old.serial, 16)}


def test_a_rollback_to_a_compromised_certificate_is_refused(street: Street) -> None:
    """Also while it could not be ended at its source, so that it is still listed as an old version."""
    one = settled(street)
    street.pki.trouble = Rejected(Code.MATERIAL_REJECTED, "Vault does not revoke")
    street.ask(RequestKind.COMPROMISE, str(EDGE_TLS))
    one.settle()
    assert street.version(EDGE_TLS) == 2
    assert street.record(EDGE_TLS).retiring
    asked = street.ask(RequestKind.ROLLBACK, "proxy/edge", to_version=1)
    one.run()
    answer = street.answer(asked)
    assert answer.state is RequestState.REFUSED
    assert Code.ROLLBACK_REFUSED.value in str(answer.outcome)


def test_what_could_not_be_ended_is_said(street: Street) -> None:
    """Refused and replaced, but not revoked: that is no success, and it is not kept waiting for ever either."""
    one = settled(street)
    street.pki.trouble = Rejected(Code.MATERIAL_REJECTED, "Vault does not revoke")
    asked = street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    one.settle()
    answer = street.answer(asked)
    assert answer.state is RequestState.FAILED
    assert "version 1 is refused by the proxies but not ended" in dict(answer.outcome)[str(BILLING)]
    assert Code.MATERIAL_REJECTED.value in dict(answer.outcome)[str(BILLING)]
    street.pki.trouble = None
    street.clock.advance(TTL / 2)
    one.settle()
    assert street.pki.revoked
    assert street.kv_versions() == (2,)


def test_a_revocation_that_is_not_on_the_list_is_said(street: Street) -> None:
    """A CRL without the serial would look like one with it; the key is gone all the same."""
    one = settled(street)
    street.pki.unlisted = True
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    failure = street.record().retire_failure
    assert failure is not None
    assert "CRL" in failure.text
    assert street.kv_versions() == (2,)
    street.pki.unlisted = False
    street.clock.advance(5 * MINUTE)
    one.settle()
    assert street.record().retiring == ()


def test_denials_and_crl_end_with_the_certificate(street: Street) -> None:
    """Documents do not grow for ever."""
    one = settled(street)
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    assert refused(street)
    street.clock.advance(TTL)
    one.settle()
    assert refused(street) == set()
    assert "crl" not in document(street).content["trust"]


def test_a_crl_that_ends_before_the_proxys_certificate_is_not_published(street: Street) -> None:
    """A proxy that is cut off keeps its last document: its CRL must not be the first thing there that runs out,
    because an expired CRL makes it refuse everybody."""
    street.pki.life = timedelta(hours=3)
    day = timedelta(days=1)
    proxy = street.fleet.proxies[0]
    long_lived = replace(proxy.credentials[0], ttl=day)
    street.fleet = replace(street.fleet, proxies=(replace(proxy, credentials=(long_lived,)),))
    street.secrets._longest = day
    one, old = settled(street), current(street)
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    assert refused(street) == {old.fingerprint}
    assert listed(street) == set()
    street.pki.life = timedelta(days=3)
    street.clock.advance(MINUTE)
    one.settle()
    assert listed(street) == {int(old.serial, 16)}


def test_a_crl_of_another_ca_than_signed_everybody_is_not_published(street: Street) -> None:
    """After a renewal of the CA, certificates of both are in force: with the CRL of one, the other's are refused."""
    one, old = settled(street), current(street)
    street.pki.life = timedelta(days=3)
    street.secrets.authority = Authority(street.clock.now())
    street.pki._authority = street.secrets.authority
    street.clock.advance(2 * MINUTE)
    street.ask(RequestKind.COMPROMISE, str(BILLING))
    one.settle()
    assert refused(street) == {old.fingerprint}
    assert listed(street) == set()
