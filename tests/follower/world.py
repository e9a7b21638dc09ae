"""A small world for followers: a CA, published documents in a fake Consul, key material on a shelf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rotator.clients.directories import VersionDirectories
from rotator.core.errors import Fault
from rotator.core.reasons import Cause, Reason
from rotator.core.secret import Secret
from rotator.follower.actions import Action
from rotator.follower.agent import AgentSubject
from rotator.follower.converge import Convergence, Node
from rotator.follower.proxies.contract import Answer, Inputs, Place, ProxyAdapter, RenderedFile
from rotator.follower.proxy import Probe, ProxySubject, ProxyTools
from rotator.ports import KvVersion
from rotator.publish import canonical, report, versions
from rotator.publish.document import Denied, SignerKeys, Trust, compose
from rotator.publish.layout import Layout
from tests.fakes.clock import FakeClock
from tests.fakes.consul import FakeConsul, FakeKeys

DOMAIN = "example.org"
CAUSE = Cause(Reason.CREDENTIAL_ROTATED, "test")


@dataclass(frozen=True)
class Issued:
    """One certificate with its key, PEM, and where it was put."""

    certificate: str
    private_key: str
    chain: str
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


class Ca:
    """Signs in a millisecond; real validity, real names."""

    def __init__(self, now: datetime, name: str = "test ca") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._now = now
        built = self._builder(self._name, self._key.public_key(), now - timedelta(days=1), now + timedelta(days=30))
        self.certificate = built.add_extension(x509.BasicConstraints(True, None), True).sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self, uri: str, *, starts: timedelta = timedelta(hours=-1), ends: timedelta = timedelta(hours=1)
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri.rsplit("/", 1)[-1])])
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")])
        builder = self._builder(name, key.public_key(), self._now + starts, self._now + ends)
        leaf = builder.add_extension(names, False).add_extension(usages, False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(
            certificate=leaf.public_bytes(serialization.Encoding.PEM).decode(),
            private_key=private.decode(),
            chain=self.pem,
            serial=f"{leaf.serial_number:X}",
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        )

    def _builder(self, name: x509.Name, key: Any, starts: datetime, ends: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
        )


class Shelf:
    """The part of `ports.Secrets` that followers use."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Mapping[str, Secret]] = {}
        self.fault: Fault | None = None

    def kv_read(self, mount: str, path: str, version: int | None = None) -> KvVersion | None:
        if self.fault is not None:
            raise self.fault
        fields = self.kept.get((path, version or 0))
        return None if fields is None else KvVersion(version or 0, datetime.now(UTC), fields)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a follower must not call {name}")


@dataclass
class StubAdapter:
    """A proxy kind whose checker and answers the test chooses."""

    name: str = "envoy"
    needs_reload: bool = False
    checker: tuple[str, ...] = ("true",)
    answers: Answer = Answer.SILENT
    rendered: list[int] = field(default_factory=list)

    def render(self, inputs: Inputs) -> tuple[RenderedFile, ...]:
        self.rendered.append(inputs.number)
        return (
            RenderedFile("tls/certificate.pem", inputs.material.fullchain),
            RenderedFile("tls/private_key.pem", inputs.material.private_key),
        )

    def standing(self, place: Place) -> tuple[RenderedFile, ...]:
        return ()

    def check_command(self, version: Path) -> tuple[str, ...]:
        return self.checker

    def words(self, output: str) -> str:
        return output.strip()

    def mark(self) -> int | None:
        return None

    def answer(self, number: int, mark: int | None) -> Answer:
        return self.answers


@dataclass(frozen=True)
class Look:
    serial: str
    fingerprint: str


class World:
    """Everything around one follower in `root`."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
        self.consul = FakeConsul(self.clock)
        self.shelf = Shelf()
        self.ca = Ca(self.clock.now())
        self.layout = Layout()
        self.root = root
        self.signers: tuple[SignerKeys, ...] = ()
        self.denied: tuple[Denied, ...] = ()
        self.node = Node("node-1", FakeKeys(self.consul), self.layout, self.clock)

    def store(self, path: str, version: int, issued: Issued, private_key: str = "") -> dict[str, Any]:
        """Puts material on the shelf and returns its published facts."""
        texts = {
            "certificate": issued.certificate,
            "chain": issued.chain,
            "private_key": private_key or issued.private_key,
        }
        self.shelf.kept[(path, version)] = {name: Secret(text) for name, text in texts.items()}
        return {
            "kind": "certificate", "version": version, "kv_mount": "kv", "kv_path": path, "kv_version": version,
            "serial": issued.serial, "fingerprint": issued.fingerprint,
            "not_before": issued.not_before.isoformat(), "not_after": issued.not_after.isoformat(),
        }  # fmt: skip

    def server(self) -> Issued:
        return self.ca.issue(f"spiffe://{DOMAIN}/proxy/edge")

    def publish(self, number: int, issued: Issued, private_key: str = "", **config: Any) -> None:
        facts = self.store("proxies/edge/tls", number, issued, private_key)
        whole = {
            "trust_domain": DOMAIN, "kind": "envoy", "listener": {"address": "127.0.0.1", "port": 1},
            "connection_age_seconds": 600, "upstreams": [], "access": [], **config,
        }  # fmt: skip
        document = compose("edge", whole, Trust((self.ca.pem,), self.signers, self.denied), {"tls": facts})
        now = self.clock.now()
        manifest = versions.encode_manifest(document, number, CAUSE, now)
        for part, body in enumerate(versions.split(document)):
            self.consul.put(self.layout.part("edge", number, part), body)
        self.consul.put(self.layout.version("edge", number), manifest)
        self.consul.put(self.layout.proxy_current("edge"), versions.encode_pointer(document, number, CAUSE, now))

    def publish_agent(self, *versions_: int) -> list[Issued]:
        """Publishes one certificate of agent `billing` per given version, the last of them as current."""
        made = []
        for version in versions_:
            issued = self.ca.issue(f"spiffe://{DOMAIN}/agent/billing")
            facts = self.store("agents/billing/tls", version, issued)
            body = canonical.encode({"format": 1, "agent": "billing", "credentials": {"tls": facts}})
            self.consul.put(self.layout.agent_current("billing"), body)
            made.append(issued)
        return made

    def proxy(self, adapter: ProxyAdapter, probe: Probe | None = None, action: Action = Action()) -> Convergence:  # noqa: B008
        directories = VersionDirectories(self.root)

        def pause(seconds: float) -> None:
            self.clock.advance(timedelta(seconds=seconds))

        tools = ProxyTools(adapter, self.shelf, probe or self.served_from_disk, pause, action, timedelta(seconds=1))
        return Convergence(ProxySubject("edge", directories, self.node, tools), directories, self.node)

    def agent(self, action: Action = Action()) -> Convergence:  # noqa: B008
        directories = VersionDirectories(self.root)
        return Convergence(AgentSubject("billing", directories, self.node, self.shelf, action), directories, self.node)

    def served_from_disk(self, address: str, port: int) -> Look:
        """A proxy that serves whatever `current` holds."""
        leaf = x509.load_pem_x509_certificate((self.root / "current/tls/certificate.pem").read_bytes())
        return Look(f"{leaf.serial_number:X}", leaf.fingerprint(hashes.SHA256()).hex())

    def report(self, owner: str = "proxy/edge") -> report.Report:
        return report.decode(self.consul.entries[f"{owner}/nodes/node-1"].value)
