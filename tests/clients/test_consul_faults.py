"""What Consul, the network and a proxy in between answer when things go wrong, row by row (reliability 3.2, W1-W5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clients.consul import ConsulKeys
from rotator.clients.consul_lock import ConsulLock, lock_agent
from rotator.config.settings import ConsulSettings
from rotator.core.errors import Code, Conflict, Denied, Family, Fault, Unavailable
from rotator.core.secret import Secret
from rotator.ports import Put
from tests.clients.canned_server import CannedServer, passed_on, passed_on_and_lost, reply
from tests.clients.conftest import TTL
from tests.clients.consul_process import ROOT_TOKEN, ConsulProcess
from tests.fakes.clock import FakeClock

SECOND = timedelta(seconds=1)
_ENTRY = b'[{"Key":"k","Value":"eA==","ModifyIndex":7}]'


@pytest.fixture
def serve() -> Iterator[list[CannedServer]]:
    servers: list[CannedServer] = []
    yield servers
    for server in servers:
        server.close()


def _keys(serve: list[CannedServer], clock: FakeClock, *answers: bytes) -> ConsulKeys:
    serve.append(CannedServer(*answers))
    return ConsulKeys(ConsulSettings(serve[-1].address, token=Secret("hidden-token"), timeout=SECOND), clock)


@pytest.mark.parametrize(
    ("answer", "family", "code"),
    [
        (reply("301 Moved", b"", "Location: http://127.0.0.1:1/"), Family.DENIED, Code.CONSUL_REDIRECT),
        (reply("200 OK", b"<html>log in</html>", "X-Consul-Index: 1"), Family.UNAVAILABLE, Code.CONSUL_REPLY_MALFORMED),
        (reply("200 OK", b'{"a": 1}', "X-Consul-Index: 1"), Family.UNAVAILABLE, Code.CONSUL_REPLY_MALFORMED),
        (reply("200 OK", b'["a"]', "X-Consul-Index: 1"), Family.UNAVAILABLE, Code.CONSUL_REPLY_MALFORMED),
        (reply("200 OK", _ENTRY), Family.UNAVAILABLE, Code.CONSUL_REPLY_MALFORMED),
        (reply("200 OK", _ENTRY, "X-Consul-Index: 1")[:-9], Family.UNAVAILABLE, Code.CONSUL_UNREACHABLE),
        (reply("200 OK", _ENTRY, "X-Consul-KnownLeader: false"), Family.UNAVAILABLE, Code.CONSUL_NO_LEADER),
        (b"", Family.UNAVAILABLE, Code.CONSUL_UNREACHABLE),
        (b"garbage\r\n\r\n", Family.UNAVAILABLE, Code.CONSUL_UNREACHABLE),
        (reply("500 X", b"No cluster leader"), Family.UNAVAILABLE, Code.CONSUL_NO_LEADER),
        (reply("500 X", b"rpc error: Permission denied"), Family.DENIED, Code.CONSUL_DENIED),
        (reply("500 X", b"No path to datacenter"), Family.DENIED, Code.CONSUL_ERROR),
        (reply("500 X", b'invalid session "x"'), Family.CONFLICT, Code.CONSUL_CONFLICT),
        (reply("502 Bad Gateway", b"<html>"), Family.UNAVAILABLE, Code.CONSUL_ERROR),
        (reply("429 Too Many Requests"), Family.UNAVAILABLE, Code.CONSUL_ERROR),
        (reply("413 Too Large"), Family.DENIED, Code.CONSUL_TOO_LARGE),
        (reply("403 Forbidden", b"ACL not found"), Family.DENIED, Code.CONSUL_DENIED),
    ],
)
def test_each_bad_answer_has_its_family(
    serve: list[CannedServer], clock: FakeClock, answer: bytes, family: Family, code: Code
) -> None:
    """The core decides by the family alone; no text of the reply and no token gets into the words."""
    with pytest.raises(Fault) as caught:
        _keys(serve, clock, answer).read("k")
    assert (caught.value.family, caught.value.code) == (family, code)
    said = f"{caught.value!r} {caught.value.hint}"
    assert "html" not in said
    assert "hidden-token" not in said
    assert len(serve[0].requests) == 1


def test_entries_left_out_by_acls_are_not_taken_for_absent(serve: list[CannedServer], clock: FakeClock) -> None:
    """CON-7: a list without the records would look like a first run."""
    answer = reply("200 OK", _ENTRY, "X-Consul-Index: 1", "X-Consul-Results-Filtered-By-ACLs: true")
    with pytest.raises(Denied):
        _keys(serve, clock, answer).read_below("k")


def test_one_empty_list_is_read_again_before_it_is_believed(serve: list[CannedServer], clock: FakeClock) -> None:
    """W5: a starting server answers empty once (hashicorp/consul#3975)."""
    empty, full = reply("404 Not Found", b"", "X-Consul-Index: 1"), reply("200 OK", _ENTRY, "X-Consul-Index: 1")
    assert len(_keys(serve, clock, empty, empty, full).read_below_surely("k")) == 1
    with pytest.raises(Denied) as caught:
        _keys(serve, clock, empty).read_below_surely("k")
    assert caught.value.code is Code.CONSUL_EMPTY_READ


def test_an_index_of_zero_counts_as_one(serve: list[CannedServer], clock: FakeClock) -> None:
    """W2: 0 sent back would be answered at once, for ever."""
    keys = _keys(serve, clock, reply("200 OK", _ENTRY, "X-Consul-Index: 0"))
    assert keys.wait_for("k", 0, SECOND)[1] == 1


def test_a_commit_that_says_false_has_failed(serve: list[CannedServer], clock: FakeClock) -> None:
    """CON-6."""
    with pytest.raises(Conflict):
        _keys(serve, clock, reply("200 OK", b"false\n")).commit([Put("k", b"x", 0)], None)


def test_every_call_carries_token_datacenter_and_namespace_and_ignores_the_environment(
    serve: list[CannedServer], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """py-consul's transactions are anonymous, and its CONSUL_HTTP_TOKEN wins over the configuration."""
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from-the-environment")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "unix:///nowhere")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    serve.append(CannedServer(reply("404 Not Found", b"", "X-Consul-Index: 1"), reply("500 X")))
    keys = ConsulKeys(ConsulSettings(serve[0].address, Secret("ours"), datacenter="d1", namespace="n1"), clock)
    assert keys.read("a b") is None
    with pytest.raises(Unavailable):
        keys.commit([Put("k", b"x", 0)], None)
    assert b"GET /v1/kv/a%20b?consistent=1&dc=d1&ns=n1 " in serve[0].requests[0]
    assert b"PUT /v1/txn?dc=d1&ns=n1 " in serve[0].requests[1]
    assert all(b"X-Consul-Token: ours\r\n" in request for request in serve[0].requests)
    assert not any(b"from-the-environment" in request for request in serve[0].requests)


def test_calls_are_counted_with_operation_and_outcome(serve: list[CannedServer], clock: FakeClock) -> None:
    """Status of the reply, or the error code when there was none."""
    serve.append(CannedServer(reply("404 Not Found", b"", "X-Consul-Index: 1"), b""))
    heard: list[tuple[str, str]] = []
    settings = ConsulSettings(serve[0].address)
    keys = ConsulKeys(settings, clock, lambda operation, code, seconds: heard.append((operation, code)))
    keys.read_below("k")
    with pytest.raises(Unavailable):
        keys.commit([Put("k", b"x", 0)], None)
    assert heard == [("read_below", "404"), ("commit", "E3001")]


@pytest.mark.servers
def test_a_lost_reply_is_unavailable_and_the_effect_is_there(
    agent: ConsulProcess, settings: ConsulSettings, clock: FakeClock
) -> None:
    """The caller reads back; nothing is sent twice."""
    server = CannedServer(passed_on_and_lost(int(agent.address.rsplit(":", 1)[1])))
    with pytest.raises(Unavailable) as caught:
        ConsulKeys(replace(settings, address=server.address), clock).commit([Put("lost/reply", b"x", 0)], None)
    server.close()
    assert caught.value.code is Code.CONSUL_UNREACHABLE
    assert len(server.requests) == 1
    assert ConsulKeys(settings, clock).read("lost/reply") is not None


@pytest.mark.servers
@pytest.mark.parametrize("token", [None, Secret("99999999-0000-0000-0000-000000000000")])
def test_a_token_without_rights_is_denied_and_not_a_conflict(
    settings: ConsulSettings, clock: FakeClock, token: Secret | None
) -> None:
    """Consul answers 409 to an anonymous transaction and 403 to an unknown token."""
    keys = ConsulKeys(replace(settings, token=token), clock)
    with pytest.raises(Denied) as caught:
        keys.commit([Put("denied/k", b"x", 0)], None)
    assert caught.value.code is Code.CONSUL_DENIED


@pytest.mark.servers
def test_a_token_file_that_was_renewed_is_read_again_once(
    settings: ConsulSettings, clock: FakeClock, tmp_path: Path
) -> None:
    """A rotated token needs no restart."""
    file = tmp_path / "token"
    file.write_text("99999999-0000-0000-0000-000000000000\n")
    keys = ConsulKeys(replace(settings, token=None, token_file=file), clock)
    with pytest.raises(Denied):
        keys.read("renewed/k")
    file.write_text(ROOT_TOKEN + "\n")
    assert keys.read("renewed/k") is None


@pytest.mark.servers
def test_a_namespace_or_datacenter_that_is_not_there_is_a_matter_for_people(
    settings: ConsulSettings, clock: FakeClock
) -> None:
    """No retry can repair a configuration."""
    for wrong in (replace(settings, namespace="team"), replace(settings, datacenter="mars")):
        with pytest.raises(Denied):
            ConsulKeys(wrong, clock).read("k")


@pytest.mark.servers
def test_a_frozen_consul_ends_the_leadership_by_the_local_deadline(
    agent: ConsulProcess, settings: ConsulSettings, clock: FakeClock
) -> None:
    """No answer is not a lost lock, until the deadline says so (LCK-1, LCK-6)."""
    hasty = replace(settings, timeout=timedelta(milliseconds=200))
    lock = ConsulLock(lock_agent(hasty, clock), hasty, "frozen/lock", "one", clock)
    fence = lock.acquire()
    agent.freeze()
    try:
        assert lock.renew() is True
        assert lock.fence() == fence
        clock.advance(TTL * 2 / 3)
        assert lock.fence() is None
        assert lock.renew() is False
    finally:
        agent.thaw()
    again = lock.acquire()
    assert again is not None
    assert again.epoch == 2
    lock.release()


@pytest.mark.servers
def test_a_lost_reply_to_the_lock_is_found_out_by_the_next_try(
    agent: ConsulProcess, settings: ConsulSettings, clock: FakeClock
) -> None:
    """Else the instance would wait for its own session to expire."""
    port = int(agent.address.rsplit(":", 1)[1])
    lost, through = passed_on_and_lost(port), passed_on(port)
    server = CannedServer(through, through, lost, through)
    near = replace(settings, address=server.address)
    lock = ConsulLock(lock_agent(near, clock), near, "lost/lock", "one", clock)
    with pytest.raises(Unavailable):
        lock.acquire()
    fence = lock.acquire()
    assert fence is not None
    assert fence.epoch == 2
    lock.release()
    server.close()


@pytest.mark.servers
def test_a_session_that_is_destroyed_starts_the_lock_delay(
    agent: ConsulProcess, settings: ConsulSettings, clock: FakeClock
) -> None:
    """The delay is the time in which calls of the deposed leader come to an end."""
    delayed = replace(settings, lock_delay=timedelta(seconds=60))
    first = ConsulLock(lock_agent(delayed, clock), delayed, "delay/lock", "one", clock)
    second = ConsulLock(lock_agent(delayed, clock), delayed, "delay/lock", "two", clock)
    fence = first.acquire()
    assert fence is not None
    agent.put(f"/v1/session/destroy/{fence.session}")
    assert second.acquire() is None


@pytest.mark.servers
def test_neither_release_nor_take_over_causes_a_lock_delay(settings: ConsulSettings, clock: FakeClock) -> None:
    """LCK-3: released first, destroyed second."""
    delayed = replace(settings, lock_delay=timedelta(seconds=60))
    locks = [
        ConsulLock(lock_agent(delayed, clock), delayed, "swift/lock", name, clock, predecessor_is_dead=True)
        for name in ("one", "one", "two")
    ]
    assert locks[0].acquire() is not None
    assert locks[1].acquire() is not None
    locks[1].release()
    assert locks[2].acquire() is not None
    locks[2].release()
