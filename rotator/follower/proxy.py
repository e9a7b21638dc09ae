"""Beside a proxy: from the pointer in Consul to a served certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from rotator.clients import process
from rotator.clients.directories import VersionDirectories
from rotator.core.errors import Code, Fault, Rejected, Unavailable
from rotator.core.identity import Owner, OwnerKind
from rotator.follower import material
from rotator.follower.actions import Action, told
from rotator.follower.converge import Node, RefusedByConsumer
from rotator.follower.proxies.contract import Answer, Inputs, Place, ProxyAdapter, ServerMaterial
from rotator.follower.state import Applied, Version
from rotator.ports import Entry, Secrets
from rotator.publish import versions
from rotator.publish.document import Document
from rotator.publish.report import Running


class Seen(Protocol):
    """The served leaf, as `clients/tls_probe.py: Served`."""

    @property
    def serial(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


Probe = Callable[[str, int], Seen]
Pause = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class ProxyTools:
    """What a proxy's passes need.

    secrets: Vault with this node's own identity.
    probe: one look at the certificate served at (address, port) of the document; Unavailable when nothing answers.
    pause: waits some seconds, ends early at shutdown. settle: how long a version may take to be seen in use.
    action: the reload, where the kind needs one.
    """

    adapter: ProxyAdapter
    secrets: Secrets
    probe: Probe
    pause: Pause
    action: Action
    settle: timedelta = timedelta(seconds=10)
    check_timeout: timedelta = timedelta(seconds=30)


class ProxySubject:
    """`converge.Subject` for one proxy on this node."""

    def __init__(self, name: str, directories: VersionDirectories, node: Node, tools: ProxyTools) -> None:
        self.owner = Owner(OwnerKind.PROXY, name)
        self.key = node.layout.proxy_current(name)
        self._name = name
        self._directories = directories
        self._node = node
        self._tools = tools
        self._mark: int | None = None
        self._known: dict[str, Document] = {}

    def desired(self, entry: Entry) -> Version:
        pointer = versions.decode_pointer(entry.value)
        return Version(pointer.version, pointer.digest, pointer.issued_at)

    def apply(self, desired: Version) -> str:
        document = self._document(desired)
        kind = document.content["config"].get("kind")
        if document.proxy != self._name or kind != self._tools.adapter.name:
            text = f"version {desired.number} is for the {kind} proxy {document.proxy!r}, not for {self.owner}"
            raise Rejected(Code.DOCUMENT_UNSUPPORTED, text, hint="compare kind and name in both configurations")
        name, facts = server_credential(document)
        wanted = material.Wanted(self.owner, name, facts, document.content["config"]["trust_domain"])
        own = material.fetch(self._tools.secrets, wanted, self._node.clock.now())
        folder = self._directories.free_name(f"{desired.number}-{desired.digest[:8]}")
        place = Place(self._directories.root, self._directories.path(folder), self._node.name)
        inputs = Inputs(desired.number, document.content, ServerMaterial(own.fullchain, own.private_key), place)
        files = {file.path: file.content for file in self._render(inputs)}
        self._directories.write(folder, files)
        self._check(folder, desired.number)
        for standing in self._tools.adapter.standing(place):
            if isinstance(standing.content, str):
                self._directories.place(standing.path, standing.content)
        return folder

    def before_swap(self) -> None:
        self._mark = self._tools.adapter.mark()

    def act(self, applied: Applied) -> None:
        if self._tools.adapter.needs_reload:
            self._tools.action.run(told(self.owner, applied, self._directories.root))

    def confirm(self, applied: Applied) -> Mapping[str, Running]:
        """Asks the proxy and looks at the served certificate until both show the version, or `settle` is over.

        The success of a reload is no evidence (reliability 5.2); a proxy that cannot be asked is judged by the probe.
        """
        if applied.version is None:
            return {}
        document = self._document(applied.version)
        name, _ = server_credential(document)
        clock, deadline = self._node.clock, self._node.clock.monotonic() + self._tools.settle.total_seconds()
        while True:
            running, problem = self._look(applied.version.number, document, name)
            if running is not None:
                return {name: running, **_verify_keys(document)}
            if clock.monotonic() >= deadline:
                raise problem
            self._tools.pause(0.1)

    def _look(self, number: int, document: Document, name: str) -> tuple[Running | None, Fault]:
        answer = self._tools.adapter.answer(number, self._mark)
        if answer is Answer.REFUSED:
            raise RefusedByConsumer(
                Code.PROXY_CHECK_FAILED, f"the running {self._tools.adapter.name} refused version {number}"
            )
        facts, listener = document.certificates()[name], document.content["config"]["listener"]
        try:
            served = self._tools.probe(str(listener["address"]), int(listener["port"]))
        except Unavailable as fault:
            if answer is Answer.SILENT:
                raise  # nobody is there at all: waiting here would only hold the directory
            return None, fault
        if served.fingerprint != facts["fingerprint"]:
            text = f"the proxy serves serial {served.serial}, not {facts['serial']} of {self.owner}/{name}"
            return None, Unavailable(Code.PROXY_PROBE_FAILED, text)
        if answer is Answer.WAITING:
            return None, Unavailable(Code.PROXY_PROBE_FAILED, f"the proxy has not taken version {number} yet")
        return Running(int(facts["version"]), served.serial, served.fingerprint), Unavailable(
            Code.PROXY_PROBE_FAILED, ""
        )

    def _render(self, inputs: Inputs) -> Any:
        try:
            return self._tools.adapter.render(inputs)
        except (KeyError, TypeError, ValueError) as problem:
            text = f"version {inputs.number} cannot be rendered: {type(problem).__name__}"
            raise Rejected(Code.DOCUMENT_UNSUPPORTED, text, hint="update the follower, or publish again") from None

    def _check(self, folder: str, number: int) -> None:
        """The proxy's own checker, on a complete candidate that is not in force yet. A refused candidate goes away."""
        try:
            command = self._tools.adapter.check_command(self._directories.path(folder))
            ended = process.run(command, self._tools.check_timeout)
            if ended.status:
                text = f"{self._tools.adapter.name} refuses version {number}: {self._tools.adapter.words(ended.output)}"
                raise Rejected(Code.PROXY_CHECK_FAILED, text)
        except Fault:
            self._directories.drop(folder)
            raise

    def _document(self, wanted: Version) -> Document:
        """By digest, so what is in force need not be read again every minute, nor be there for ever."""
        if wanted.digest not in self._known:
            self._known = dict([*self._known.items(), (wanted.digest, self._read(wanted))][-2:])
        return self._known[wanted.digest]

    def _read(self, wanted: Version) -> Document:
        entry = self._node.keys.read(self._node.layout.version(self._name, wanted.number))
        if entry is None:
            text = f"the manifest of version {wanted.number} is not there"
            raise Unavailable(Code.DOCUMENT_CORRUPT, text, hint="publish again")
        manifest = versions.decode_manifest(entry.value)
        if manifest.digest != wanted.digest:
            text = f"pointer and manifest of version {wanted.number} have different digests"
            raise Rejected(Code.DOCUMENT_CORRUPT, text, hint="publish again")
        layout, keys = self._node.layout, self._node.keys
        found = [keys.read(layout.part(self._name, wanted.number, part)) for part in range(manifest.parts)]
        return versions.join(manifest, [entry.value for entry in found if entry is not None])


def _verify_keys(document: Document) -> Mapping[str, Running]:
    """The signing keys whose newest version the proxy knows, now that it runs this document."""
    return {
        signer: Running(int(facts["version"]), str(facts["serial"]), str(facts["fingerprint"]))
        for signer, facts in document.signers().items()
    }


def server_credential(document: Document) -> tuple[str, Mapping[str, Any]]:
    """The proxy's server certificate: its only certificate, or among several the one named `tls` or `server`."""
    found = {name: facts for name, facts in document.certificates().items() if facts.get("kind") == "certificate"}
    for name in ("tls", "server"):
        if name in found:
            return name, found[name]
    if len(found) == 1:
        return next(iter(found.items()))
    text = f"{len(found)} certificates are published for the proxy, and none is named tls"
    raise Rejected(Code.DOCUMENT_UNSUPPORTED, text, hint="name the server certificate `tls`")
