"""Beside an agent: its credentials in a directory that changes by one swap, and a command or signal per change.

<directory>/current/facts.json
<directory>/current/<credential>/{certificate,chain,fullchain,private_key}.pem    of a certificate
<directory>/current/<credential>/<field>                                          of every other kind
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rotator.clients.directories import VersionDirectories
from rotator.core.errors import Code, Rejected
from rotator.core.identity import Owner, OwnerKind, is_name
from rotator.follower import placing
from rotator.follower.actions import Action, told
from rotator.follower.converge import Node
from rotator.follower.material import Wanted
from rotator.follower.state import Applied, Version
from rotator.ports import Entry, Secrets
from rotator.publish import agent as published
from rotator.publish import canonical
from rotator.publish.report import Running

# Agents have no document number; equal facts are equal bytes, so the digest alone says whether something changed.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_FACTS = "facts.json"


class AgentSubject:
    """`converge.Subject` for one agent on this node. `secrets`: Vault with the agent's own identity."""

    def __init__(
        self, name: str, directories: VersionDirectories, node: Node, secrets: Secrets, action: Action
    ) -> None:
        self.owner = Owner(OwnerKind.AGENT, name)
        self.key = node.layout.agent_current(name)
        self._directories = directories
        self._node = node
        self._secrets = secrets
        self._action = action
        self._seen: dict[str, bytes] = {}

    def desired(self, entry: Entry) -> Version:
        digest = canonical.digest(entry.value)
        published.decode(entry.value)
        self._seen = {digest: entry.value}
        return Version(0, digest, _NO_TIME)

    def apply(self, desired: Version) -> str:
        """All credentials or none: a new certificate never lies beside yesterday's token."""
        credentials = published.decode(self._seen[desired.digest])
        if not credentials:
            raise Rejected(Code.DOCUMENT_CORRUPT, f"nothing is published for {self.owner}")
        files: dict[str, Any] = {}
        for name, facts in credentials.items():
            if not is_name(name):
                raise Rejected(Code.DOCUMENT_CORRUPT, f"{name!r} is no name of a credential")
            wanted = Wanted(self.owner, name, facts)
            files.update(placing.fetch(self._secrets, wanted, self._node.clock.now()))
        files[_FACTS] = json.dumps(credentials, indent=1, sort_keys=True) + "\n"
        folder = self._directories.free_name(desired.digest[:8])
        self._directories.write(folder, files)
        return folder

    def before_swap(self) -> None:
        """Nothing: agents read the files when they are told, or when they like."""

    def act(self, applied: Applied) -> None:
        self._action.run(told(self.owner, applied, self._directories.root))

    def confirm(self, applied: Applied) -> Mapping[str, Running]:
        """What lies on disk, after the command or signal for it has worked."""
        body = self._directories.read(f"versions/{applied.directory}/{_FACTS}")
        facts = canonical.decode(body or b"", "the facts on disk")
        return {
            name: Running(int(one["version"]), str(one.get("serial", "")), str(one["fingerprint"]))
            for name, one in facts.items()
        }
