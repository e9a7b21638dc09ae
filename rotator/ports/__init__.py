"""Sockets: the small protocols that the inner rooms call and `clients/` and `records/` fill, a file per world outside.

Every promise stands here: what "absent" looks like, which families of `Fault` may be raised, what is safe to repeat.
Fakes in `tests/fakes/` and the real clients pass one contract suite in `tests/clients/`.
"""

from rotator.ports.approle import AppRoles, LoginProof, SecretId, SecretIdRequest
from rotator.ports.consul import (
    TRANSACTION_BYTES,
    VALUE_LIMIT,
    WRITES_PER_TRANSACTION,
    Delete,
    Entry,
    Fence,
    Keys,
    Lock,
    Put,
    Write,
)
from rotator.ports.database import DatabaseEngine, Databases, StaticCredential
from rotator.ports.machine import AppendFile, Clock, Failpoint
from rotator.ports.memory import Audit, Journal, Stored, Written
from rotator.ports.oauth import AuthorizationServers, OAuthClient, TokenReply, TokenState
from rotator.ports.paths import VaultPaths
from rotator.ports.pki import Pki, SignRequest
from rotator.ports.transit import Signers, Transit, VerifyKey
from rotator.ports.vault import CertificateMaterial, CertificateRequest, KvState, KvVersion, Secrets

__all__ = [
    "TRANSACTION_BYTES",
    "VALUE_LIMIT",
    "WRITES_PER_TRANSACTION",
    "AppRoles",
    "AppendFile",
    "Audit",
    "AuthorizationServers",
    "CertificateMaterial",
    "CertificateRequest",
    "Clock",
    "DatabaseEngine",
    "Databases",
    "Delete",
    "Entry",
    "Failpoint",
    "Fence",
    "Journal",
    "Keys",
    "KvState",
    "KvVersion",
    "Lock",
    "LoginProof",
    "OAuthClient",
    "Pki",
    "Put",
    "SecretId",
    "SecretIdRequest",
    "Secrets",
    "SignRequest",
    "Signers",
    "StaticCredential",
    "Stored",
    "TokenReply",
    "TokenState",
    "Transit",
    "VaultPaths",
    "VerifyKey",
    "Write",
    "Written",
]
