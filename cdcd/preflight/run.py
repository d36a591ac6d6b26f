"""Runs the checks: services at the same time, the checks of one service one after the other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from cdcd.config.origin import unknown_variables
from cdcd.config.settings import Settings
from cdcd.model.errors import CdcdError, Transient
from cdcd.ops.logs import get_logger
from cdcd.preflight import kafka, postgres, production_checks, registry, scylla
from cdcd.preflight.report import Finding, Outcome, Report, ended, failed, skipped, warning
from cdcd.preflight.to_do import TO_DO

log = get_logger()

CHECK_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """How to connect, and what to check once connected."""

    connect: Callable[[Settings], AbstractAsyncContextManager[Any]]
    checks: Mapping[str, Callable[[Any, Settings, Sequence[str]], Awaitable[list[Finding]]]]


SERVICES: Mapping[str, Service] = {
    "scylla": Service(scylla.connect, scylla.CHECKS),
    "kafka": Service(kafka.connect, kafka.CHECKS),
    "registry": Service(registry.connect, registry.CHECKS),
    "postgres": Service(postgres.connect, postgres.CHECKS),
}


async def run(
    settings: Settings,
    patterns: Sequence[str],
    services: Sequence[str],
    *,
    production: bool = False,
) -> Report:
    """Check the named services, for production or just to run; the patterns say which tables are
    meant.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                _service(name, _chosen(name, production=production), settings, patterns)
            )
            for name in services
        ]
    outcomes = [ended("settings", "environment", _environment(), 0.0)]
    if production:
        judged = production_checks.of_settings(settings, services)
        outcomes += [ended("settings", title, found, 0.0) for title, found in judged.items()]
    for task in running:
        outcomes += task.result()
    return Report(tuple(outcomes), TO_DO if production else ())


def _chosen(name: str, *, production: bool) -> Service:
    service = SERVICES[name]
    if not production:
        return service
    return replace(service, checks={**service.checks, **production_checks.CHECKS[name]})


def _environment() -> list[Finding]:
    return [
        warning(f"{name} is set and nothing reads it", "is it misspelt? see `cdcd config`")
        for name in unknown_variables()
    ]


async def _service(
    name: str, service: Service, settings: Settings, patterns: Sequence[str]
) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        opened: list[Any] = []

        async def connect() -> list[Finding]:
            opened.append(await stack.enter_async_context(service.connect(settings)))
            return []

        connection = await _outcome(name, "connection", connect())
        if not opened:
            return [connection, *(skipped(name, check) for check in service.checks)]
        (door,) = opened
        checks = [
            await _outcome(name, title, check(door, settings, patterns))
            for title, check in service.checks.items()
        ]
    return [connection, *checks]


async def _outcome(service: str, title: str, call: Awaitable[list[Finding]]) -> Outcome:
    started = time.monotonic()
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            findings = await call
    except Exception as error:  # noqa: BLE001  a fault of one check must not hide the others' answers
        return failed(service, title, _named(service, error), time.monotonic() - started)
    return ended(service, title, findings, time.monotonic() - started)


def _named(service: str, error: Exception) -> CdcdError:
    if isinstance(error, CdcdError):
        if isinstance(error, Transient) and not error.hint:
            return Transient(error.message, f"is it up, and is its address in [{service}] right?")
        return error
    if isinstance(error, TimeoutError):
        return Transient(f"no answer within {CHECK_SECONDS_MAX:.0f} s", f"see [{service}]")
    log.debug("a check failed", service=service, exc_info=error)
    return Transient(
        f"unexpected {type(error).__name__}, which is a bug in cdcd", "run with `cdcd -v check`"
    )
