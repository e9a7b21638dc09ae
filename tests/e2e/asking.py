"""What tests of a running world ask of it and change in it."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

from rotator.dev import fleet
from rotator.dev.caller import Answer, agent_identity, call
from rotator.dev.world import World
from rotator.provision.endpoints import vault_admin


def answer(world: World, agent: str, path: str, method: str = "GET") -> Answer:
    """One request with what the agent's follower has delivered by now."""
    return call(world.door, agent_identity(world.agent_directory(agent)), method, path).answer


def grant(world: World, agent: str, path: str) -> None:
    """The agent may read one more path: inventory file, then SIGHUP."""
    scope = f'  {{ proxy = "{fleet.PROXY}", path = "{path}", methods = ["GET"], permission = "read" }},'
    text = fleet.agent_file(agent, world.options.size)
    world.write_agent(agent, text.replace("scopes = [", f"scopes = [\n{scope}"))
    os.kill(world.service.pid, signal.SIGHUP)


def audited(world: World, event: str, target: str = "") -> list[dict[str, Any]]:
    """The audit lines of one event so far."""
    return [line for line in world.audit_lines() if line["event"] == event and target in ("", line["target"])]


def end_service_tokens(world: World) -> int:
    """Revokes every token of the service's identity from outside; how many there were."""
    admin = vault_admin(world.settings().vault, world.openbao.root_token)
    policy, ended = world.handouts["service"].vault_policy, 0
    for accessor in admin.listing("auth/token/accessors"):
        if policy in admin.write("auth/token/lookup-accessor", {"accessor": accessor})["policies"]:
            admin.write("auth/token/revoke-accessor", {"accessor": accessor})
            ended += 1
    return ended


def ready(world: World) -> tuple[int, dict[str, Any]]:
    """(status, answer) of /readyz."""
    question = urllib.request.Request(f"{world.http}/readyz", headers={"Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(question, timeout=5) as reply:  # noqa: S310 - loopback
            return int(reply.status), json.load(reply)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)
