"""OpenBao, for Vault's API. It is not started with the others, but when it is asked for.

It keeps what it has on disk, so that it can be stopped, killed and sealed: started again it has
the leases that it gave. It leases logins for PostgreSQL that live for seconds.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from stackd import postgres, procs
from stackd.errors import StackError
from stackd.service import Archive, Service
from stackd.state import State, write_private

LOGIN = "database/creds/cdcd"
# A lease's life, and how long it can be renewed.
_LEASE, _LEASE_MAX = "4s", "8s"
# The longest that a server gives unless told otherwise: a stack is not left up for longer.
_LOGIN_TTL = "768h"
_ANSWER_SECONDS = 10.0
# From this status on it may answer later: it is sealed, or has not elected itself yet.
_NOT_READY = 500
_POLICY = f'path "{LOGIN}" {{ capabilities = ["read"] }}'
_CREATE = (
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
    f'GRANT {postgres.ROLE} TO "{{{{name}}}}"',
    # What a login makes is the role's: one that owns something cannot be dropped.
    f'ALTER ROLE "{{{{name}}}}" SET role = {postgres.ROLE}',
)
_REVOKE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
    'DROP ROLE IF EXISTS "{{name}}"',
)


def url(state: State) -> str:
    """Its address."""
    return f"http://127.0.0.1:{_port(state, 'vault')}"


def token(state: State) -> str | None:
    """One that may read what cdcd reads; None before its first start has ended."""
    return state.passwords.get("vault_cdcd")


def seal(state: State) -> None:
    """It runs on and gives nothing. Starting it again unseals it."""
    _ask(state, "PUT", "sys/seal", {})


def _port(state: State, name: str) -> int:
    if name not in state.ports:
        raise StackError("an older version made this stack, without a port for Vault: `down`, `up`")
    return state.ports[name]


def _program() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("bao", path=str(beside)) or shutil.which("bao")
    if found is None:
        raise StackError(f"bao is missing; {beside / 'pip'} install --group servers")
    return found


def _start(state: State, _archive: Archive | None) -> procs.Proc:
    data = state.data("vault")
    data.mkdir(mode=0o700, exist_ok=True)
    config = data / "config.json"
    store = data / "store"
    store.mkdir(mode=0o700, exist_ok=True)
    raft = f"127.0.0.1:{_port(state, 'vault_raft')}"
    address = f"127.0.0.1:{_port(state, 'vault')}"
    listener = {"address": address, "cluster_address": raft, "tls_disable": True}
    # A cluster of one, which elects itself as soon as it may.
    storage = {"path": str(store), "node_id": "local", "performance_multiplier": 1}
    content = {
        "listener": {"tcp": listener},
        "storage": {"raft": storage},
        "api_addr": url(state),
        "cluster_addr": f"http://{raft}",
    }
    write_private(config, json.dumps(content))
    return procs.start([_program(), "server", f"-config={config}"], state.log("vault"))


def _open(state: State) -> None:
    """Unseal it, and at its first start give it what it leases."""
    status = _ask(state, "GET", "sys/seal-status")
    if not status["initialized"]:
        made = _ask(state, "PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        state.passwords |= {"vault_key": made["keys"][0], "vault_root": made["root_token"]}
        state.save()
    if status["sealed"]:
        _ask(state, "PUT", "sys/unseal", {"key": state.passwords["vault_key"]})
    # Unsealed, it refuses all until it has elected itself.
    _probe(state)
    if token(state) is None:
        _lay_out(state)


def _lay_out(state: State) -> None:
    _ask(state, "PUT", "sys/policies/acl/cdcd", {"policy": _POLICY})
    if "database/" not in _ask(state, "GET", "sys/mounts")["data"]:
        _ask(state, "POST", "sys/mounts/database", {"type": "database"})
    place = f"127.0.0.1:{state.ports['postgres']}/{postgres.DATABASE}"
    _ask(
        state,
        "POST",
        "database/config/warehouse",
        {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "cdcd",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{place}?sslmode=disable",
            "username": "postgres",
            "password": state.passwords["postgres"],
        },
    )
    role = {
        "db_name": "warehouse",
        "creation_statements": _CREATE,
        "revocation_statements": _REVOKE,
        "default_ttl": _LEASE,
        "max_ttl": _LEASE_MAX,
    }
    _ask(state, "POST", "database/roles/cdcd", role)
    made = _ask(state, "POST", "auth/token/create", {"policies": ["cdcd"], "ttl": _LOGIN_TTL})
    state.passwords["vault_cdcd"] = made["auth"]["client_token"]
    state.save()


def _probe(state: State) -> None:
    # Sealed, or not elected yet, it answers this with an error.
    _ask(state, "GET", "sys/health?standbycode=503")


def _ask(state: State, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"{url(state)}/v1/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Vault-Token": state.passwords.get("vault_root", "")},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        if error.code >= _NOT_READY:
            raise
        raise StackError(f"OpenBao refuses {path}: {error.read().decode().strip()}") from error
    return json.loads(said) if said else {}


SERVICE = Service(
    name="vault",
    title="OpenBao",
    prepare=list,
    start=_start,
    probe=_probe,
    open=_open,
    address=url,
    is_java=False,
)
