"""OAuth 2.0 access tokens of an authorization server: client credentials, or a refresh token from a person's consent.

The agent gets the access token alone. Client secret and first refresh token are written by somebody else at
`client_path`; the refresh tokens that follow are kept in `_held_grant.py`, where no agent may read.

Hazards of refresh tokens (RFC 9700, 4.14.2). A server that replaces them takes the second use of one for a theft and
ends the whole grant. When a reply is lost after the server acted, its new refresh token is lost too: the old one is
used again, which works within the grace period that many servers have, and else ends in E8009, where only a new
consent helps. Nobody else may use the same grant: the slower of the two would end it.

A server may take the revocation of one access token for the end of its whole grant (RFC 7009, 2.1); npm's
oidc-provider does, and the newer token dies with it. So with the refresh grant an old token is never revoked, not even
one that was reported as compromised: it expires by itself, within its ttl, and proxies refuse it until then. Whoever
wants it dead at once ends the grant at the server and consents anew. A token whose reply was lost is known to nobody
and expires by itself.

Vault paths: `<kv_mount>/data/<client_path>` (read); for the refresh grant `<kv_mount>/data/oauth2/<agent>/<credential>`
(create, update, read), `<kv_mount>/metadata/oauth2/<agent>/<credential>` (read) and
`<kv_mount>/destroy/oauth2/<agent>/<credential>` (update); and as every kind, its place in KV.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rotator.core.errors import Code, Denied, Rejected
from rotator.core.kind_settings import Grant, OAuth2Settings
from rotator.core.model import Facts, Pending
from rotator.core.secret import Secret
from rotator.core.spec import Spec
from rotator.kinds._held_grant import HeldGrant, HeldGrants, Token
from rotator.kinds.base import IssueResult, KindPorts
from rotator.kinds.keeping import Keeping, Made
from rotator.ports import OAuthClient, TokenReply

ACCESS_TOKEN, TOKEN_TYPE, SCOPE = "access_token", "token_type", "scope"
CLIENT_SECRET, REFRESH_TOKEN = "client_secret", "refresh_token"
BEARER = "Bearer"
# In the facts: when the server lets the token end; `not_after` may be sooner.
EXPIRES_AT = "expires_at"
# Least life of a token, as a share of the ttl that was asked for.
LEAST_SHARE = 1 / 2


class OAuth2Kind:
    """Kind `oauth2`."""

    name = "oauth2"

    def __init__(self, ports: KindPorts) -> None:
        self._keeping, self._held = Keeping(ports), HeldGrants(ports.secrets)
        self._secrets, self._servers = ports.secrets, ports.authorization
        self._clock, self._failpoint = ports.clock, ports.failpoint

    def issue(self, spec: Spec, pending: Pending, stored_version: int, read_back: bool) -> IssueResult:
        """As `Kind.issue`. A token that was made and not stored is made once more with client credentials, and found
        again with the refresh grant."""
        if read_back and (adopted := self._keeping.find(spec, pending, stored_version)):
            return adopted
        client, consent = self._registered(spec)
        newest = self._keeping.newest(spec) if read_back else stored_version
        token = self._token(spec, pending, client, consent)
        old = self._keeping.previous(spec, stored_version).get(ACCESS_TOKEN)
        if old is not None and old.matches(token.access_token):
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"the authorization server handed out the same access token of {spec.id} again",
                hint="it caches tokens until they expire: let it make a new one for each request, or use a longer ttl",
            )
        return self._keeping.store(spec, pending, _made(spec, token), newest)

    def verify(self, spec: Spec, facts: Facts) -> None:
        """Asks the server whether the token is active, where it tells; else what is stored is what was issued."""
        material = self._keeping.read(spec, facts)
        client, _ = self._registered(spec)
        state = self._servers.introspect(client, material.get(ACCESS_TOKEN, Secret("")))
        if state is not None and not state.active:
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"the authorization server says that the access token of {spec.id} is not active",
                hint="it was revoked, or the server tells this client nothing: then it should answer 403",
            )

    def retire(self, spec: Spec, facts: Facts) -> None:
        """Ends a token of client credentials at the server, and destroys it in KV: last, because it is needed to
        revoke it. With the refresh grant the used refresh tokens go instead."""
        if _settings(spec).grant is Grant.REFRESH_TOKEN:
            self._held.destroy_used(spec)
        else:
            self._end(spec, facts)
        self._failpoint.reach("K11", str(spec.id))
        self._keeping.destroy(spec, facts)

    def revoke(self, spec: Spec, facts: Facts) -> None:
        """The same: what can be ended without ending the newer version is ended by `retire` already."""
        self.retire(spec, facts)

    def _end(self, spec: Spec, facts: Facts) -> None:
        """One that has expired needs no server any more: it may be gone for good."""
        token = self._keeping.previous(spec, facts.kv_version).get(ACCESS_TOKEN)
        if token is not None and self._clock.now() < _ends(facts):
            client, _ = self._registered(spec)
            self._servers.revoke(client, token)

    def _registered(self, spec: Spec) -> tuple[OAuthClient, Secret | None]:
        """(the client, the refresh token of a person's consent). Denied when they were not put where they belong."""
        want = _settings(spec)
        found = self._secrets.kv_read(spec.kv_mount, want.client_path)
        fields = {} if found is None else found.fields
        needed = (CLIENT_SECRET, *((REFRESH_TOKEN,) if want.grant is Grant.REFRESH_TOKEN else ()))
        missing = [name for name in needed if not fields.get(name)]
        if missing:
            raise Denied(
                Code.VAULT_NOT_CONFIGURED,
                f"there is no {' and no '.join(missing)} at {spec.kv_mount}/{want.client_path}",
                hint="write it there, as the authorization server gave it",
            )
        client = OAuthClient(want.server, want.client_id, fields[CLIENT_SECRET])
        return client, fields.get(REFRESH_TOKEN)

    def _token(self, spec: Spec, pending: Pending, client: OAuthClient, consent: Secret | None) -> Token:
        want = _settings(spec)
        if want.grant is Grant.REFRESH_TOKEN and consent is not None:
            token = self._refreshed(spec, pending, client, consent)
        else:
            asked_at = self._clock.now()
            token = _token_of(self._servers.client_credentials(client, want.scope), asked_at)
            self._failpoint.reach("K2", str(spec.id))
        _refuse_unfit(spec, token)
        return self._with_end(spec, client, token)

    def _refreshed(self, spec: Spec, pending: Pending, client: OAuthClient, consent: Secret) -> Token:
        """What came back is kept first, whatever it is, and judged afterwards."""
        newest, grant = self._held.current(spec)
        if grant is None or not grant.consent.matches(consent):
            grant = HeldGrant(consent, consent)
        known = grant.token if grant.rotation_id == pending.rotation_id else None
        if known is not None and _is_fresh(spec, known, self._clock.now()):
            return known
        newest = self._held.about_to_use(spec, grant, pending.rotation_id, newest)
        asked_at = self._clock.now()
        reply = self._use(spec, client, grant, newest)
        self._failpoint.reach("K2", str(spec.id))
        token = _token_of(reply, asked_at)
        successor = reply.refresh_token or grant.refresh_token
        kept = HeldGrant(consent, successor, pending.rotation_id, token)
        self._held.keep(spec, kept, newest)
        return token

    def _use(self, spec: Spec, client: OAuthClient, grant: HeldGrant, cas: int) -> TokenReply:
        """A refusal is an answer too: after it nothing is under way, else a theft would later be told as a loss."""
        try:
            return self._servers.refresh(client, grant.refresh_token, _settings(spec).scope)
        except Denied as refused:
            if not grant.unanswered:
                self._held.keep(spec, replace(grant, rotation_id="", token=None), cas)
            if refused.code is Code.AUTHORIZATION_GRANT_DEAD and grant.unanswered:
                text = f"{refused.text}; the reply to its last use never arrived, and its successor was in that"
                raise Denied(refused.code, text, hint=refused.hint) from None
            raise

    def _with_end(self, spec: Spec, client: OAuthClient, token: Token) -> Token:
        """Asks the server for the end of a token that came without one. Rejected when it does not tell."""
        if token.expires_at is not None:
            return token
        state = self._servers.introspect(client, token.access_token)
        if state is None or state.expires_at is None:
            raise Rejected(
                Code.MATERIAL_REJECTED,
                f"the access token of {spec.id} came without expires_in, and the server tells its end nowhere else",
                hint="nobody could say when to renew it: have the server send expires_in",
            )
        return replace(token, expires_at=state.expires_at)


def build(ports: KindPorts) -> OAuth2Kind:
    return OAuth2Kind(ports)


def _token_of(reply: TokenReply, asked_at: datetime) -> Token:
    """The life is counted from before the call, so that it never ends sooner than we say."""
    ends = None if reply.expires_in is None else asked_at + reply.expires_in
    return Token(reply.access_token, reply.token_type, reply.scope, asked_at, ends)


def _refuse_unfit(spec: Spec, token: Token) -> None:
    if not token.access_token:
        raise Rejected(
            Code.AUTHORIZATION_REPLY_MALFORMED,
            f"the token endpoint answered for {spec.id} without an access_token that can be used",
            hint="see what answers there",
        )
    if token.token_type.lower() != BEARER.lower():
        raise Rejected(
            Code.MATERIAL_REJECTED,
            f"the access token of {spec.id} is of another type than {BEARER}",
            hint="tokens that are bound to a key (DPoP, mTLS) are not supported",
        )
    missing = set(_settings(spec).scope.split()) - set(token.scope.split())
    if token.scope and missing:
        raise Rejected(
            Code.MATERIAL_REJECTED,
            f"the server granted {spec.id} less than was asked for: {' '.join(sorted(missing))} is missing",
            hint="ask for less in `scope`, or have it granted",
        )


def _made(spec: Spec, token: Token) -> Made:
    """Rejected when the server's own life is far below the one that was asked for."""
    want, ends = _settings(spec), token.expires_at or token.asked_at
    if ends - token.asked_at < spec.ttl * LEAST_SHARE:
        raise Rejected(
            Code.MATERIAL_REJECTED,
            f"the access token of {spec.id} lives for {ends - token.asked_at}, less than half of its ttl {spec.ttl}",
            hint="make ttl smaller",
        )
    scope = {SCOPE: Secret(token.scope or want.scope)} if token.scope or want.scope else {}
    return Made(
        {ACCESS_TOKEN: token.access_token, TOKEN_TYPE: Secret(BEARER), **scope},
        (ACCESS_TOKEN,),
        issued_at=token.asked_at,
        not_after=min(ends, token.asked_at + spec.ttl),
        details=(("server", want.server.issuer), ("client_id", want.client_id), (EXPIRES_AT, ends.isoformat())),
    )


def _is_fresh(spec: Spec, token: Token, now: datetime) -> bool:
    """Whether a token from an interrupted try is still worth storing."""
    return token.expires_at is not None and token.expires_at - now >= spec.ttl * LEAST_SHARE


def _ends(facts: Facts) -> datetime:
    told = dict(facts.details).get(EXPIRES_AT)
    return facts.not_after if told is None else max(facts.not_after, datetime.fromisoformat(told))


def _settings(spec: Spec) -> OAuth2Settings:
    if not isinstance(spec.settings, OAuth2Settings):
        raise Rejected(Code.CONFIG_INVALID, f"{spec.id} has no settings of an OAuth2 client")
    return spec.settings
