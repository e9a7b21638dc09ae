"""Kinds of other packages: a real one is installed and lives its whole life; broken ones stop the start by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from rotator import app
from rotator.clients.clock import SystemClock
from rotator.config.kinds import choice
from rotator.config.problems import ConfigErrors
from rotator.core.errors import Code, Denied
from rotator.core.events import FleetEventName
from rotator.core.kind_settings import ForeignSettings
from rotator.dev.servers.locate import Server
from rotator.kinds import catalog
from rotator.kinds.base import ABSENT, KindPorts
from rotator.rotation.cycle import Cycle
from tests.assets.servers import binary

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "rotator-kind-totp"
PORTS = KindPorts(secrets=ABSENT, clock=ABSENT, failpoint=ABSENT)
CONFIG = """\
trust_domain = "example.org"
[service]
state_dir = "/var/lib/rotator"
[vault]
address = "https://vault.example.org:8200"
auth = { method = "approle", role = "role-id", secret_id_file = "/nowhere/secret-id" }
[consul]
address = "http://127.0.0.1:8500"
token_file = "/nowhere/consul-token"
[agents.reports]
owner = "team-analytics"
[agents.reports.credentials.seed]
kind = "KIND"
ttl = "30d"
overlaps = true
settings = SETTINGS
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it; nothing is fetched."""
    source = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("target")
    flags = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    done = run([sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)], {})
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run(command: list[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Without what this test run was told by its environment."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "ROTATOR_", "VAULT_"))}
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **extra}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Makes what is installed in a folder visible to this process."""

    def put(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        choice.foreign_names.cache_clear()

    known = set(sys.modules)
    yield put
    monkeypatch.undo()
    choice.foreign_names.cache_clear()
    for name in set(sys.modules) - known:
        if name.startswith(("rotator_kind_", "brought_")):
            del sys.modules[name]


def config(folder: Path, kind: str = "totp_seed", settings: str = "{ digits = 8 }") -> Path:
    path = folder / "rotator.toml"
    path.write_text(CONFIG.replace("KIND", kind).replace("SETTINGS", settings))
    path.chmod(0o600)
    return path


@pytest.mark.servers
def test_an_installed_kind_keeps_the_whole_contract(installed: Path):
    """Its life on a real OpenBao, found by its entry point, in a process that knows it from PYTHONPATH alone."""
    binary(Server.OPENBAO)
    extra = {"PYTHONPATH": str(installed), "ROTATOR_CONTRACT_SITES": str(EXAMPLE / "contract_site.py")}
    chosen = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "totp_seed")
    done = run([sys.executable, "-m", "pytest", *chosen, "tests/kinds/contract"], extra)
    assert done.returncode == 0, done.stdout
    table = done.stdout.split("what each kind holds")[1]
    assert table.count("yes") >= 14
    assert "not run" not in table


def test_validate_knows_an_installed_kind(installed: Path, tmp_path: Path):
    """Beside the service and in CI, before anything is put into force."""
    command = [sys.executable, "-m", "rotator", "validate", "-o", "json", "--config", str(config(tmp_path))]
    done = run(command, {"PYTHONPATH": str(installed)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["credentials"] == 1
    assert run(command, {}).returncode == 3


def test_validate_says_where_the_settings_of_a_foreign_kind_are_wrong(installed: Path, tmp_path: Path):
    """With file and line, and all of them, as for our own."""
    path = config(tmp_path, settings="{ digits = 7, colour = 1 }")
    done = run(
        [sys.executable, "-m", "rotator", "validate", "--config", str(path)],
        {"PYTHONPATH": str(installed), "COLUMNS": "200"},
    )
    assert done.returncode == 3, done.stdout + done.stderr
    line = CONFIG.splitlines().index("settings = SETTINGS") + 1
    for words in ("digits must be 6 or 8", "colour is no key of it"):
        assert f"rotator.toml:{line}: agents.reports.credentials.seed.settings: {words}" in done.stdout


def test_the_configuration_becomes_the_settings_of_the_kind(
    installed: Path, tmp_path: Path, beside: Callable[[Path], None]
):
    """As its table stands, and as the service will start with it."""
    beside(installed)
    (spec,) = app.load(str(config(tmp_path))).fleet.specs()
    assert (spec.kind, spec.kv_path) == ("totp_seed", "agents/reports/seed")
    assert isinstance(spec.settings, ForeignSettings)
    assert (spec.settings.table(), spec.settings.overlaps) == ({"digits": 8}, True)
    assert "totp_seed" in catalog.names()
    assert catalog.build(PORTS)["totp_seed"].name == "totp_seed"


def test_the_service_does_not_start_with_settings_that_the_kind_refuses(
    installed: Path, tmp_path: Path, beside: Callable[[Path], None]
):
    """And a running one keeps the old: reload takes the same way."""
    beside(installed)
    with pytest.raises(ConfigErrors, match="digits must be 6 or 8"):
        app.load(str(config(tmp_path, settings='{ digits = "6" }')))


def brought(folder: Path, name: str, text: str, value: str = "") -> None:
    """A package with one module `brought_<name>` and an entry point that names it."""
    module = f"brought_{name}"
    (folder / f"{module}.py").write_text(text)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[rotator.kinds]\n{value or f'brought = {module}:build'}\n")


GOOD = "class K:\n    name = 'brought'\ndef build(ports):\n    return K()\n"


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("import a_module_that_is_not_there\n", "", "'brought'.*cannot be loaded: ModuleNotFoundError"),
        ("def build(:\n", "", "cannot be loaded: SyntaxError"),
        ("raise ValueError('no licence')\n", "", "cannot be loaded: ValueError: no licence"),
        ("x = 1\n", "", "cannot be loaded: AttributeError"),
        (GOOD, "brought = brought_gone:build", "cannot be loaded: ModuleNotFoundError"),
        ("build = 1\n", "", "cannot be built: TypeError"),
        ("def build(ports):\n    return None\n", "", "cannot be built: AttributeError"),
        ("def build(ports):\n    ports.no_such_client\n", "", "cannot be built: AttributeError"),
        ("def build(ports):\n    ports.paths.read('x')\n", "", "cannot be built: Fault: .*without the client"),
        (GOOD.replace("'brought'", "'other'"), "", "calls itself 'other'"),
        (GOOD, "api_key = brought_one:build", "'api_key', which this package has itself"),
    ],
)
def test_a_broken_package_stops_the_start_by_name(
    tmp_path: Path, beside: Callable[[Path], None], text: str, value: str, words: str
):
    """Left out in silence, its credentials would expire."""
    brought(tmp_path, "one", text, value)
    beside(tmp_path)
    with pytest.raises(Denied, match=words) as refusal:
        catalog.build(PORTS)
    assert refusal.value.code is Code.CONFIG_INVALID
    assert refusal.value.hint


def test_a_running_service_keeps_its_configuration_when_a_broken_package_appears(
    tmp_path: Path, beside: Callable[[Path], None]
):
    """Reload is refused and told; raised there, it would end the cycle instead."""
    brought(tmp_path, "good", GOOD)
    beside(tmp_path)
    path = str(config(tmp_path, "brought", "{}"))
    running = app.load(path)
    told: list[str] = []
    clients = SimpleNamespace(vault=SimpleNamespace(calls=None), clock=SystemClock(), failpoint=None)
    painter = SimpleNamespace(refused=lambda: told.append("refused"))
    reload = app._reloader(path, running, cast(app.Clients, clients), cast(app.Painter, painter))
    brought(tmp_path, "late", "raise ValueError('no licence')\n", "late = brought_late:build")
    beside(tmp_path)
    event = reload(cast(Cycle, None))
    assert (event.name, told) == (FleetEventName.CONFIG_REFUSED, ["refused"])
    assert "'late'" in event.error


def test_two_packages_with_one_kind_stop_the_start(tmp_path: Path, beside: Callable[[Path], None]):
    """Which of them is found first would depend on the order of folders."""
    brought(tmp_path, "one", GOOD)
    brought(tmp_path, "two", GOOD)
    beside(tmp_path)
    with pytest.raises(Denied, match="2 installed packages bring a kind named 'brought'"):
        catalog.build(PORTS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "def check(settings):\n    return settings['missing']\n", "failed to check its settings: KeyError"),
        (GOOD + "def check():\n    return []\n", "failed to check its settings: TypeError"),
        ("import a_module_that_is_not_there\n", "cannot be loaded"),
    ],
)
def test_a_package_that_breaks_on_its_settings_is_named(
    tmp_path: Path, beside: Callable[[Path], None], text: str, words: str
):
    """Already when the configuration is looked at, not at the first rotation."""
    brought(tmp_path, "one", text)
    beside(tmp_path)
    with pytest.raises(Denied, match=words):
        app.load(str(config(tmp_path, "brought", "{ a = 1 }")))


@pytest.mark.parametrize("table", ["{ a = 1, b = [true, { c = '2' }] }", "{}"])
def test_a_kind_without_a_check_takes_any_table(tmp_path: Path, beside: Callable[[Path], None], table: str):
    """The hook is an offer."""
    brought(tmp_path, "one", GOOD)
    beside(tmp_path)
    (spec,) = app.load(str(config(tmp_path, "brought", table))).fleet.specs()
    assert isinstance(spec.settings, ForeignSettings)
    assert spec.settings.table() == ({} if table == "{}" else {"a": 1, "b": [True, {"c": "2"}]})
