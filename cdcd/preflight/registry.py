"""Checks of the schema registry."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from cdcd.config.settings import Settings
from cdcd.preflight.report import Finding, warning
from cdcd.transport.registry import Registry

Check = Callable[[Registry, Settings, Sequence[str]], Awaitable[list[Finding]]]


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Registry]:
    """The registry, once it answered."""
    registry = Registry(settings.registry)
    try:
        await registry.ping()
        yield registry
    finally:
        await registry.close()


async def subjects(registry: Registry, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether schemas of the pipeline's subjects can be asked for."""
    await registry.latest(f"{settings.name}.cdcd.check-value")
    return []


async def encryption(_registry: Registry, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether a password would travel in the clear."""
    if settings.registry.password is not None and settings.registry.url.startswith("http:"):
        return [warning("registry.url is http, and a password is sent over it", "use https")]
    return []


CHECKS: Mapping[str, Check] = {"subjects": subjects, "encryption": encryption}
