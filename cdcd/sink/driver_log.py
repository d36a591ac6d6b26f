"""Which lines of asyncio's log about the driver are worth to be told. Pure."""

import logging
import traceback
from pathlib import Path


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a line of asyncio says more than that a request to cancel a statement failed.

    Such a request is a connection of its own, which the driver makes when a statement's caller is
    cancelled. Nobody waits for it once its statement's connection is closed
    (https://github.com/MagicStack/asyncpg/issues/1310), and the caller tells what went wrong.
    """
    error = record.exc_info[1] if record.exc_info else None
    forgotten = record.getMessage().startswith("Future exception was never retrieved")
    return not (forgotten and isinstance(error, OSError) and _is_the_drivers(error))


def _is_the_drivers(error: OSError) -> bool:
    """Whether the driver has made or met an error."""
    if str(error) == "unexpected connection_lost() call":
        return True
    frames = traceback.walk_tb(error.__traceback__)
    return any("asyncpg" in Path(frame.f_code.co_filename).parts for frame, _ in frames)
