"""Tells systemd how the service is (sd_notify(3)): datagrams to the socket that it names.

Outside of systemd nothing is named and nothing is sent. The protocol is one line of text, and the
library for it on the package index has had no release since 2017.
"""

import os
import socket
from collections.abc import Mapping

from cdcd.ops.logs import get_logger

log = get_logger()


class Notifier:
    """Sends states such as `READY=1`; the same one in a row goes once."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for Linux's abstract namespace, whose names begin with a zero byte.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._said = ""

    def say(self, state: str) -> None:
        """Send a state unless it was the last one said."""
        if state != self._said:
            self._said = state
            self._send(state)

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
        except OSError as error:
            # Whoever supervises finds out by itself; it is no reason to stop replicating.
            log.warning("systemd was not told", state=text.partition("=")[0], reason=str(error))
