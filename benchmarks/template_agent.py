"""`bao agent` with one `pkiCert` template for each agent: from its start to the last rendered file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from benchmarks.figures import Sample
from benchmarks.processes import Meter, run
from benchmarks.site import ROLE, TRUST_DOMAIN, TTL_SECONDS, Site
from rotator.clients.files import write_atomic
from rotator.dev.servers import locate

# Connections to one server (template_config); its default is 10.
CONNECTIONS = 64


def render(site: Site, seconds: float) -> Sample:
    """One run. Where `seconds` pass first, what was rendered until then counts and the sample is not done."""
    folder = site.directory / "template-agent"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    configuration = folder / "agent.json"
    write_atomic(configuration, json.dumps(_configuration(site, folder)))
    meter = Meter(site.servers)
    argv = [str(locate.find(locate.Server.OPENBAO)), "agent", f"-config={configuration}", "-log-level=warn"]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    ended = run(argv, site.directory / "template-agent.log", environment, seconds)
    cpu = {"bao agent": ended.cpu, **meter.read()}
    rendered = sum(1 for path in folder.glob("*.pem") if path.stat().st_size)
    return Sample(rendered, ended.wall, cpu, done=rendered == site.size.agents and not ended.timed_out)


def _configuration(site: Site, folder: Path) -> dict[str, object]:
    """exit_after_auth: it ends when every template has been rendered once."""
    method = {
        "type": "approle",
        "config": {
            "role_id_file_path": str(_role_id(site, folder)),
            "secret_id_file_path": str(site.secret_id_file),
            "remove_secret_id_file_after_reading": False,
        },
    }
    return {
        "vault": {"address": site.openbao.address, "ca_cert": str(site.openbao.ca_file)},
        "auto_auth": {"method": [method]},
        "exit_after_auth": True,
        "template_config": {"exit_on_retry_failure": True, "max_connections_per_host": CONNECTIONS},
        "template": [_template(name, folder) for name in site.names],
    }


def _role_id(site: Site, folder: Path) -> Path:
    path = folder / "role-id"
    write_atomic(path, site.role_id)
    return path


def _template(name: str, folder: Path) -> dict[str, object]:
    wanted = (
        f"common_name={name}",
        f"uri_sans=spiffe://{TRUST_DOMAIN}/agent/{name}",
        f"ttl={TTL_SECONDS}s",
        "exclude_cn_from_sans=true",
    )
    words = " ".join(json.dumps(word) for word in (ROLE, *wanted))
    contents = f"{{{{ with pkiCert {words} }}}}{{{{ .Cert }}}}{{{{ .CA }}}}{{{{ .Key }}}}{{{{ end }}}}"
    return {"contents": contents, "destination": str(folder / f"{name}.pem"), "perms": "0600"}
