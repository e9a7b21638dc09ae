"""A server's program out of its image, where a Docker daemon answers and has the image or may pull it.

The program runs outside of the container, like every other one here: only so can it be frozen, sealed and restarted
with its data in a test's own directory.
"""

from __future__ import annotations

import io
import platform
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.dev.servers.cache import Missing

ANSWER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Image:
    """`member`: the program's path inside the image."""

    name: str
    member: str


def ways(images: Sequence[Image]) -> list[Callable[[Path], None]]:
    """One way for all images, so that an absent daemon is asked, and named, once."""
    return [lambda target: _fetch(images, target)] if images else []


def _fetch(images: Sequence[Image], target: Path) -> None:
    client = _daemon()
    try:
        reasons: list[str] = []
        for image in images:
            try:
                return _copy(client, image, target)
            except Missing as missing:
                reasons.extend(missing.reasons)
        raise Missing(*reasons)
    finally:
        client.close()


def _daemon() -> Any:
    if platform.system() != "Linux":
        raise Missing("Docker: programs of images run on Linux only")
    try:
        from docker.errors import DockerException
        from testcontainers.core.docker_client import DockerClient
    except ImportError:
        raise Missing("Docker: testcontainers is not installed") from None
    try:
        client = DockerClient(timeout=ANSWER_SECONDS).client
        client.ping()
    except (DockerException, OSError):
        raise Missing("Docker: no daemon answers") from None
    return client


def _copy(client: Any, image: Image, target: Path) -> None:
    from docker.errors import DockerException

    try:
        # `create` pulls nothing and starts nothing.
        if not client.images.list(name=image.name):
            client.images.pull(image.name, tag="latest")
        container = client.containers.create(image.name)
        try:
            chunks, _ = container.get_archive(f"/{image.member}")
            content = b"".join(chunks)
        finally:
            container.remove()
    except (DockerException, OSError) as problem:
        raise Missing(f"Docker: image {image.name} cannot be had ({type(problem).__name__})") from None
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(Path(image.member).name)
        if member is None:
            raise Missing(f"Docker: image {image.name} holds no file {image.member}")
        target.write_bytes(member.read())
