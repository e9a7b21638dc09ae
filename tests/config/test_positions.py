"""Lines of a file: checked where the plain case ends."""

from __future__ import annotations

from rotator.config.positions import index, line_of

TEXT = '''\
a = 1
[agents.billing] # a comment with [brackets] and = signs
scopes = [
  { proxy = "edge" },
  { proxy = "edge",
    path = "/#=[]", methods = ["GET",
      "POST"] },
]
note = """
[not.a.header]
x = 1
"""
[[policies.calm.windows]]
start = 22:00:00
[[policies.calm.windows]]
days.first = ["mon"]
[agents."a.b".credentials]
tls = { ttl = '1h', "deep".er = 3 }
'''


def test_lines_of_a_toml_file() -> None:
    """Inline tables, arrays over many lines, arrays of tables, quoted and dotted keys, texts that look like TOML."""
    lines = index(TEXT)
    wanted = {
        "agents.billing": 2,
        "agents.billing.scopes.0.proxy": 4,
        "agents.billing.scopes.1": 5,
        "agents.billing.scopes.1.path": 6,
        "agents.billing.scopes.1.methods.1": 7,
        "agents.billing.note": 9,
        "policies.calm.windows.0.start": 14,
        "policies.calm.windows.1": 15,
        "policies.calm.windows.1.days.first.0": 16,
    }
    assert {path: lines[tuple(path.split("."))] for path in wanted} == wanted
    assert lines["agents", "a.b", "credentials", "tls", "deep", "er"] == 18
    assert not any("not" in path or "x" in path for path in lines)


def test_a_missing_key_is_looked_for_at_its_table() -> None:
    """Where `owner` is missing, the header of the agent is the place to add it."""
    assert line_of(index(TEXT), ("agents", "billing", "owner")) == 2
    assert line_of({}, ("agents",)) == 0


def test_text_that_breaks_off_keeps_what_was_found() -> None:
    """The index serves messages: it may know less, but must not fail."""
    assert index('a = 1\nb = { c = [ 1, "x')["b", "c"] == 2
    assert index('{"a": {"b": [', json=True)["a", "b"] == 1
