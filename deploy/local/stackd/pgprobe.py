"""A PostgreSQL login with a password (SCRAM-SHA-256), in the standard library only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct

from stackd.probes import receive

_TIMEOUT_SECONDS = 3.0


def login(port: int, user: str, password: str, database: str) -> None:
    """Returns once the server is ready for a query; raises OSError or ValueError."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS) as s:
        startup = struct.pack(">i", 196608)
        startup += b"".join(
            part.encode() + b"\0" for part in ("user", user, "database", database, "")
        )
        s.sendall(struct.pack(">i", len(startup) + 4) + startup)
        _scram(s, password)
        while True:
            kind, _ = _message(s)
            if kind == b"Z":
                break
        _send(s, b"X", b"")


def _scram(s: socket.socket, password: str) -> None:
    _expect(s, 10)  # the server's mechanisms: SCRAM-SHA-256 is always one
    nonce = secrets.token_urlsafe(18)
    first = f"n=,r={nonce}"
    initial = f"n,,{first}".encode()
    _send(s, b"p", b"SCRAM-SHA-256\0" + struct.pack(">i", len(initial)) + initial)
    server_first = _expect(s, 11).decode()
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    if not fields["r"].startswith(nonce):
        raise ValueError("the server answered with another nonce")
    salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client_key = _hmac(salted, b"Client Key")
    final = f"c=biws,r={fields['r']}"
    signed = f"{first},{server_first},{final}".encode()
    signature = _hmac(hashlib.sha256(client_key).digest(), signed)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    _send(s, b"p", f"{final},p={base64.b64encode(proof).decode()}".encode())
    _expect(s, 12)
    _expect(s, 0)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _send(s: socket.socket, kind: bytes, body: bytes) -> None:
    s.sendall(kind + struct.pack(">i", len(body) + 4) + body)


def _message(s: socket.socket) -> tuple[bytes, bytes]:
    kind, size = struct.unpack(">ci", receive(s, 5))
    body = receive(s, size - 4)
    if kind == b"E":
        raise ValueError(body.replace(b"\0", b" ").decode(errors="replace"))
    return kind, body


def _expect(s: socket.socket, step: int) -> bytes:
    """The body of the next message, which must be of this authentication step."""
    kind, body = _message(s)
    if kind != b"R" or struct.unpack_from(">i", body)[0] != step:
        raise ValueError("the server did not ask for a SCRAM-SHA-256 login")
    return body[4:]
