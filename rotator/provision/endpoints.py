"""Administrator's clients from the configuration: same addresses and TLS rules as the service, another token."""

from __future__ import annotations

from pathlib import Path

from rotator.clients.consul_admin import ConsulAdmin
from rotator.clients.vault_admin import Endpoint, VaultAdmin, approle_token
from rotator.config.settings import ConsulSettings, TlsSettings, VaultAuthMethod, VaultSettings
from rotator.core.errors import Code, Denied
from rotator.core.secret import Secret


def vault_endpoint(settings: VaultSettings) -> Endpoint:
    return _endpoint(settings.address, settings.namespace, settings.tls)


def vault_admin(settings: VaultSettings, token: Secret) -> VaultAdmin:
    return VaultAdmin(vault_endpoint(settings), token)


def service_token(settings: VaultSettings) -> Secret | None:
    """A token of the service's own identity, for `rotator doctor`; None where asking for one would cost something.

    A wrapped secret-id can be used once only, and the service needs it; jwt and cert logins belong to the platform.
    """
    auth = settings.auth
    if auth.method is VaultAuthMethod.TOKEN:
        return auth.token
    if auth.method is VaultAuthMethod.TOKEN_FILE and auth.token_file is not None:
        return _read(auth.token_file)
    if auth.method is VaultAuthMethod.APPROLE and auth.secret_id_file is not None and not auth.secret_id_wrapped:
        endpoint = _endpoint(settings.address, settings.namespace, settings.tls)
        return approle_token(endpoint, auth.mount, auth.role, _read(auth.secret_id_file))
    return None


def consul_token(settings: ConsulSettings) -> Secret:
    """The service's own token; empty where none is configured."""
    if settings.token_file is not None:
        return _read(settings.token_file)
    return settings.token or Secret("")


def _read(path: Path) -> Secret:
    try:
        return Secret(path.read_text().strip())
    except OSError as problem:
        raise Denied(
            Code.CONFIG_UNREADABLE, f"{path} cannot be read: {problem.strerror}", hint="check its mode"
        ) from None


def consul_admin(settings: ConsulSettings, token: Secret) -> ConsulAdmin:
    return ConsulAdmin(_endpoint(settings.address, settings.namespace, settings.tls), token)


def _endpoint(address: str, namespace: str, tls: TlsSettings) -> Endpoint:
    bundle = tls.ca_file or tls.ca_path
    both = tls.client_certificate is not None and tls.client_key is not None
    client = (str(tls.client_certificate), str(tls.client_key)) if both else None
    return Endpoint(address, namespace, str(bundle) if bundle else None, client)
