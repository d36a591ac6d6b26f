"""Logs: one pipeline to stderr for our own lines and for those of the libraries.

`configure` is called once, by the command line. Everyone else asks `get_logger` for a logger and
calls `log.info("what happened", table=…)`. Row values are never logged. What looks like a secret
is replaced, wherever it stands: by the key's name, by the value's type, and inside of URLs.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog
from pydantic import SecretBytes, SecretStr
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from cdcd.config.settings import LogSettings
from cdcd.model.errors import CdcdError

HIDDEN = "***"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# "token" alone is a word of the ring here, and no secret.
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|dsn|credential|authorization|api_?key|private_?key"
    r"|(access|auth|bearer|vault|refresh)_?token|sasl\.oauthbearer\.config|ssl\.key\.pem",
    re.IGNORECASE,
)
# Greedy on purpose: a password may hold any of the characters that end a URL's parts.
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^/\s:@]*:)\S+(?=@)", re.IGNORECASE)
_NAMED_PASSWORD = re.compile(r"(?P<before>passw(or)?d\s*=\s*)[^\s&,;]+", re.IGNORECASE)


def get_logger(**bound: object) -> FilteringBoundLogger:
    """A logger; `bound` is written with each of its lines."""
    return cast("FilteringBoundLogger", structlog.get_logger(**bound))


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging. Libraries are heard from warning on."""
    out = sys.stderr if stream is None else stream
    level = LEVELS[settings.level]
    console = settings.format == "console" or (settings.format == "auto" and out.isatty())

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: logging.getLogger("cdcd"),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(out) if console else structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("cdcd").setLevel(level)
    logging.captureWarnings(capture=True)


def _renderer(out: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(),
        # The default shows local variables, which hold row values and secrets.
        exception_formatter=structlog.dev.plain_traceback,
    )


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Write a failure that we name as its message and hint, and any other as its traceback."""
    info = event.pop("exc_info", None)
    error = _exception(info)
    if error is None:
        return event
    named = named_errors(error)
    if named:
        event.setdefault("error", "; ".join(e.message for e in named))
        hints = dict.fromkeys(e.hint for e in named if e.hint)
        if hints:
            event.setdefault("hint", "; ".join(hints))
        return event
    event["exc_info"] = error
    return structlog.processors.format_exc_info(_logger, _method, event)


def _exception(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return cast("BaseException | None", info[1])
    return sys.exc_info()[1] if info else None


def named_errors(error: BaseException) -> list[CdcdError]:
    """The failures in an exception or group when cdcd names all of them; otherwise nothing."""
    if isinstance(error, CdcdError):
        return [error]
    if isinstance(error, BaseExceptionGroup):
        parts = [named_errors(e) for e in error.exceptions]
        return [e for part in parts for e in part] if all(parts) else []
    return []


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets in all values of a log line."""
    for key, value in event.items():
        event[key] = redacted(key, value)
    return event


def redacted(key: str, value: object) -> Any:
    """The value as it may be shown; `key` is the name it goes by."""
    if isinstance(value, SecretStr | SecretBytes) or _SECRET_KEY.search(key):
        return HIDDEN if value is not None else None
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {k: redacted(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redacted("", v) for v in value]
    return value


def redact_text(text: str) -> str:
    """The text without the passwords of URLs and of `password=…`."""
    hidden = rf"\g<before>{HIDDEN}"
    return _NAMED_PASSWORD.sub(hidden, _URL_PASSWORD.sub(hidden, text))
