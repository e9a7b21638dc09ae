"""A day of operations in short: outages that nobody notices, and commands that say what is and what is not.

Traffic of every agent goes on through all of it, and each test looks whether a request noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator.clients.clock import SystemClock
from rotator.dev import demo
from rotator.dev.fleet import PROXY, Size
from rotator.dev.traffic import Traffic
from rotator.dev.world import Options, World
from rotator.records.verify import Verdict
from tests.e2e.asking import audited, end_service_tokens, ready
from tests.e2e.command import rotator

pytestmark = pytest.mark.servers

# Certificates live a minute: some rotation is due every few seconds, during an outage too.
OPTIONS = Options(size=Size(agents=6))
TLS = "agent/billing/tls"


@pytest.fixture(scope="module")
def traffic(world: World) -> Iterator[Traffic]:
    going = demo.traffic(world)
    going.start()
    yield going
    going.stop()


@pytest.fixture(autouse=True)
def _nobody_noticed(traffic: Traffic) -> Iterator[None]:
    """Whatever the test did: every request that should pass passed, and no other."""
    yield
    assert traffic.score().mistakes == ()


def test_it_is_ready_and_says_who_leads(world: World) -> None:
    """The state from which everything below departs."""
    assert ready(world) == (200, {"status": "ready", "role": "leader", "reasons": []})


def test_a_sealed_vault_is_waited_for(world: World) -> None:
    """Ten seconds sealed: not ready and says why, no rotation fails for good, and it heals alone."""
    world.openbao.seal()
    ended = _after(10)
    try:
        world.await_("readiness to say so", lambda: ready(world)[0] == 503, 9)
        world.await_("the end of the outage", ended, 20)
        status, body = ready(world)
    finally:
        world.openbao.unseal()
    assert (status, body["status"]) == (503, "not ready")
    assert [(why["check"], why["code"]) for why in body["reasons"]] == [("vault", "E2002")]
    count = len(audited(world, "published"))
    world.await_("readiness", lambda: ready(world)[0] == 200, 15)
    world.await_("the next rotation", lambda: len(audited(world, "published")) > count, 30)


def test_a_frozen_consul_is_waited_for(world: World) -> None:
    """Eight seconds in which Consul takes connections and answers nothing."""
    ended = _after(8)
    world.consul.pause()
    try:
        world.await_("the end of the outage", ended, 20)
    finally:
        world.consul.resume()
    count = len(audited(world, "published"))
    world.await_("readiness", lambda: ready(world)[0] == 200, 30)
    world.await_("the next rotation", lambda: len(audited(world, "published")) > count, 30)


def test_a_revoked_token_is_replaced(world: World) -> None:
    """Somebody ended the service's token: it logs in again, and the rotation that found out succeeds."""
    assert end_service_tokens(world) > 0
    said = rotator(world, "rotate", TLS, "--wait", "--reason", "after a revocation")
    assert said.code == 0, said.err


def test_rotate_says_what_came_of_it(world: World) -> None:
    """Words for people, JSON for programs, an id for those who do not wait."""
    said = rotator(world, "rotate", TLS, "--wait", "--reason", "planned work", "-o", "json")
    assert said.code == 0, said.err
    answer = said.data
    assert answer["state"] == "succeeded"
    (outcome,) = answer["outcome"]
    assert outcome["target"] == TLS
    assert outcome["text"].endswith("is published")
    (line,) = [line for line in audited(world, "published", TLS) if line["request"] == answer["request"]]
    assert (line["reason"], line["text"], line["actor"]["id"]) == ("operator", "planned work", "ops")
    dry = rotator(world, "rotate", TLS, "--dry-run", "--reason", "only looking")
    assert (dry.code, dry.out) == (0, "")
    assert "nothing was asked" in dry.err


def test_a_suspension_holds_until_it_is_ended(world: World) -> None:
    """Asked for while suspended, a rotation waits; the words say for what; after `resume` it happens."""
    assert rotator(world, "suspend", TLS, "--reason", "incident 7").code == 0
    said = rotator(world, "rotate", TLS, "--wait", "--timeout", "2", "--reason", "impatient")
    assert said.code == 5
    assert "E7005" in said.err
    state = rotator(world, "explain", TLS, "-o", "json").data
    assert state["decision"]["action"] == "wait"
    assert state["decision"]["reason"] == "suspended"
    assert state["state"]["suspended"] is True
    assert "incident 7" in rotator(world, "explain", TLS).out
    count = len(audited(world, "published", TLS))
    assert rotator(world, "resume", TLS, "--reason", "incident closed").code == 0
    world.await_("the rotation", lambda: len(audited(world, "published", TLS)) > count, 15)
    events = [(line["event"], line["text"]) for line in world.audit_lines() if line["target"] == TLS]
    assert ("suspended", "incident 7") in events
    assert ("resumed", "incident closed") in events


def test_status_shows_every_credential_and_every_node(world: World) -> None:
    """The same facts in both forms."""
    said = rotator(world, "status", "-o", "json")
    assert said.code == 0, said.err
    told = said.data
    assert told["leader"]["instance"] == "demo"
    assert {one["target"] for one in told["credentials"]} == {str(spec.id) for spec in world.settings().fleet.specs()}
    assert all(one["ready"] and one["version"] > 0 and one["not_after"] for one in told["credentials"])
    (proxy,) = told["proxies"]
    assert [node["node"] for node in proxy["nodes"]] == ["edge-1"]
    table = rotator(world, "status")
    assert TLS in table.out
    assert "edge-1" in table.out
    assert "leader: demo" in table.err


def test_plan_says_what_waits_and_why(world: World) -> None:
    """Every credential has a row with a reason; nothing changes by asking."""
    count = len(audited(world, "intended"))
    told = rotator(world, "plan", "--all", "-o", "json").data
    assert len(told["rows"]) == len(world.settings().fleet.specs())
    assert all(row["reason"] and row["text"] for row in told["rows"])
    assert all(row["until"] for row in told["rows"] if row["action"] == "wait")
    assert rotator(world, "plan").code == 0
    assert all(line["actor"]["id"] == "scheduler" for line in audited(world, "intended")[count:])


def test_explain_gives_reason_times_and_policy(world: World) -> None:
    """What somebody asks at three in the morning."""
    said = rotator(world, "explain", f"proxy/{PROXY}/tls")
    assert said.code == 0, said.err
    for word in ("because", "renewal_at", "not_after", "policy", "renew at"):
        assert word in said.out, word
    told = rotator(world, "explain", f"proxy/{PROXY}/tls", "-o", "json").data
    assert {"decision", "state", "times", "history"} <= told.keys()


def test_doctor_finds_this_installation_fit(world: World) -> None:
    """Everything that `bootstrap` has made satisfies everything that `doctor` looks at."""
    said = rotator(world, "doctor", "-o", "json")
    assert said.code == 0, said.out
    assert said.data["fit"] is True
    assert [one for one in said.data["findings"] if one["verdict"] != "pass"] == []


@pytest.mark.parametrize(
    ("code", "words", "environment", "said"),
    [
        (1, ("explain", "agent/nobody/tls"), {}, "E7002"),
        (1, ("rotate", TLS), {}, "E7003"),
        (1, ("rotate", "agent/nobody", "--wait", "--reason", "typed wrong"), {}, "E7002"),
        (2, ("rotate",), {}, "Missing argument"),
        (2, ("rollback", PROXY, "--reason", "neither"), {}, "--release"),
        (3, ("status",), {"ROTATOR_CONFIG": "/nonexistent/rotator.toml"}, "E1002"),
        (3, ("status",), {"ROTATOR_SERVICE__TICK": "soon"}, "E1001"),
        (4, ("status",), {"ROTATOR_CONSUL__TOKEN_FILE": "{wrong}"}, "E3"),
        (5, ("status",), {"ROTATOR_CONSUL__ADDRESS": "https://127.0.0.1:1"}, "E3001"),
    ],
)
def test_a_refusal_has_an_exit_code_and_words(
    world: World, tmp_path: Path, code: int, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    """Scripts rely on the code, people on the words; nobody sees a traceback."""
    wrong = tmp_path / "token"
    wrong.touch(mode=0o600)
    wrong.write_text("00000000-0000-4000-8000-00000000dead")
    told = rotator(world, *words, environment={key: v.format(wrong=wrong) for key, v in environment.items()})
    assert told.code == code, told.err
    assert told.out == ""
    assert said in told.err
    assert "Traceback" not in told.err


def test_the_audit_of_such_a_day_verifies(world: World, traffic: Traffic) -> None:
    """The last test of the file: outages leave no gap and no open intent."""
    world.service.stop()
    result = demo.verify_audit(world.audit_file)
    assert result.verdict is Verdict.GOOD, result
    said = rotator(world, "audit", "verify", "--strict")
    assert said.code == 0, said.err


def _after(seconds: float) -> Callable[[], bool]:
    """True once so many seconds are over: the length of an outage is what these tests are about."""
    clock = SystemClock()
    began = clock.monotonic()
    return lambda: clock.monotonic() - began >= seconds
