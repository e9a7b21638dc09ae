"""What is deployed is the wheel, so it is built, installed elsewhere, and asked for its parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
import json, rotator
from importlib.resources import files
from rotator.follower import templates
names = json.loads(input())
print(json.dumps({
    "from": rotator.__file__,
    "templates": {name: templates.read_text(name) for name in names},
    "lock": files("rotator.dev.servers").joinpath("wheels.lock").is_file(),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and nothing else. Built without network from what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    return target


def test_the_wheel_carries_templates_and_the_list_of_server_wheels(installed: Path, tmp_path: Path) -> None:
    """A checkout finds them beside the package; an installed follower has nothing but its wheel."""
    names = [path.name for path in sorted((ROOT / "templates").iterdir()) if path.is_file()]
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": ""},
        timeout=60,
    )
    said = json.loads(ended.stdout)
    assert Path(said["from"]).is_relative_to(installed)
    assert names
    assert said["templates"] == {name: (ROOT / "templates" / name).read_text(encoding="utf-8") for name in names}
    assert said["lock"]


def test_the_wheel_carries_no_tests(installed: Path) -> None:
    """Only the package and its metadata are installed."""
    others = {path.name for path in installed.iterdir()} - {"rotator", "bin"}
    assert all(name.startswith("rotator-") for name in others)
