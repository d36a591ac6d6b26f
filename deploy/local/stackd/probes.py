"""Whether a server really answers: one small question in its own protocol, no client library.

Each probe returns, or raises OSError (or ValueError, for an answer that is not one).
"""

from __future__ import annotations

import json
import socket
import struct
import urllib.request

_TIMEOUT_SECONDS = 3.0


def kafka(port: int) -> None:
    """A metadata answer that names a broker."""
    client_id = b"stack"
    header = struct.pack(">hhih", 3, 5, 1, len(client_id)) + client_id
    request = header + struct.pack(">ib", 0, 0)  # no topics, do not create any
    with _connect(port) as s:
        s.sendall(struct.pack(">i", len(request)) + request)
        answer = receive(s, struct.unpack(">i", receive(s, 4))[0])
    brokers = struct.unpack_from(">i", answer, 8)[0]  # behind correlation id and throttle time
    if brokers < 1:
        raise ValueError("no broker yet")


def registry(url: str) -> None:
    """A list of subjects."""
    with urllib.request.urlopen(f"{url}/subjects", timeout=_TIMEOUT_SECONDS) as answer:
        subjects = json.load(answer)
    if not isinstance(subjects, list):
        raise ValueError("not a list of subjects")  # noqa: TRY004 - of the probes' two errors


def page(url: str) -> None:
    """An answer by HTTP that is no error."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS):
        return


def scylla(port: int, user: str | None, password: str | None) -> None:
    """READY, or with a user a login that succeeds."""
    startup = struct.pack(">h", 1) + _cql_string("CQL_VERSION") + _cql_string("3.0.0")
    with _connect(port) as s:
        opcode = _cql(s, 0x01, startup)
        if opcode == 0x03 and user is not None:
            token = f"\0{user}\0{password}".encode()
            opcode = _cql(s, 0x0F, struct.pack(">i", len(token)) + token)
    if opcode not in (0x02, 0x10):
        raise ValueError(f"answered with opcode {opcode}")


def receive(s: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        part = s.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_SECONDS)


def _cql(s: socket.socket, opcode: int, body: bytes) -> int:
    """Send one frame of protocol version 4; the opcode of the answer."""
    s.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
    _, _, _, answer, size = struct.unpack(">BBhBi", receive(s, 9))
    receive(s, size)
    return int(answer)


def _cql_string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
