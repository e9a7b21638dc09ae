"""The catalog takes every file of the folder, and starts with none that is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import cast

import pytest

from rotator import kinds
from rotator.core.errors import Fault
from rotator.kinds import catalog
from rotator.kinds.base import ABSENT, KindPorts

PORTS = KindPorts(secrets=ABSENT, clock=ABSENT, failpoint=ABSENT)


@pytest.fixture
def extra(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts one more file beside the kinds, for one test."""

    def put(text: str) -> None:
        (tmp_path / "extra.py").write_text(text)
        monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
        monkeypatch.setitem(sys.modules, "rotator.kinds.extra", cast(ModuleType, None))
        monkeypatch.delitem(sys.modules, "rotator.kinds.extra")

    return put


def test_every_file_is_a_kind_under_its_own_name():
    """The configuration's word, the file and the metric label are one name."""
    assert catalog.names() == tuple(sorted(catalog.build(PORTS)))
    assert "certificate" in catalog.names()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no kind"),
        (
            "class K:\n    name = 'other'\ndef build(ports):\n    return K()\n",
            "calls its kind 'other'",
        ),
    ],
)
def test_a_file_that_is_no_kind_stops_the_start(extra: Callable[[str], None], text: str, words: str):
    """Left out in silence, its credentials would expire."""
    extra(text)
    with pytest.raises(Fault, match=words):
        catalog.build(PORTS)


def test_a_file_that_cannot_be_imported_stops_the_start(extra: Callable[[str], None]):
    """The same for a missing dependency."""
    extra("import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError):
        catalog.build(PORTS)
