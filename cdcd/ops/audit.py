"""One log line for each command that changes something: who, what, when.

The line has the event `audit` and is written whatever the log's level is: an operator who wants
less noise still wants to know who paused a table.
"""

import getpass
import logging
import os
import socket

import structlog

_NAME = "cdcd.audit"


def audit(command: str, pipeline: str, **what: object) -> None:
    """Say that the command has done what it says. Secrets and row values are not for `what`.

    Called once the change is made, or when it begins for a command that runs for long.
    """
    audited = logging.getLogger(_NAME)
    audited.setLevel(logging.INFO)
    wrapper = structlog.make_filtering_bound_logger(logging.INFO)
    log = structlog.wrap_logger(audited, wrapper_class=wrapper)
    log.info(
        "audit", command=command, pipeline=pipeline, user=user(), host=socket.gethostname(), **what
    )


def user() -> str:
    """The name of the operating system's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid in a container
        return f"uid {os.getuid()}"
