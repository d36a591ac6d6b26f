"""The schema registry's door: ids, compatibility, and failures with names."""

import pytest

from cdcd.config.settings import RegistrySettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.transport.avro import schema_id_of
from cdcd.transport.publisher import TableWriter
from cdcd.transport.registry import IncompatibleSchema, Registry
from cdcd.transport.schema import table_from_schema
from tests.integration.feeding import Feed, change, table


def record(*fields: dict[str, object]) -> dict[str, object]:
    return {"type": "record", "name": "R", "fields": list(fields)}


ONE = record({"name": "a", "type": "int"})
WIDER = record({"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0})
BREAKING = record({"name": "a", "type": "int"}, {"name": "b", "type": "string"})


async def test_a_schema_is_found_by_its_id(feed: Feed) -> None:
    """What was registered is read back by another client, by id and as the latest."""
    schema_id = await feed.registry.register(f"{feed.pipeline}-value", ONE)
    assert await feed.registry.register(f"{feed.pipeline}-value", ONE) == schema_id
    async with Registry(feed.registry_settings) as other:
        assert await other.schema(schema_id) == ONE
        assert await other.latest(f"{feed.pipeline}-value") == (schema_id, ONE)


async def test_the_latest_is_never_an_old_answer(feed: Feed) -> None:
    """A newer schema is seen at the next question."""
    subject = f"{feed.pipeline}-value"
    async with Registry(feed.registry_settings) as reader:
        assert await reader.latest(subject) is None
        await feed.registry.register(subject, ONE)
        assert (await reader.latest(subject) or (0, {}))[1] == ONE
        newer = await feed.registry.register(subject, WIDER)
        assert await reader.latest(subject) == (newer, WIDER)


async def test_a_schema_that_breaks_consumers_is_refused(feed: Feed) -> None:
    """Compatibility is set by cdcd, whatever the registry's default is."""
    subject = f"{feed.pipeline}-value"
    await feed.registry.register(subject, ONE)
    with pytest.raises(IncompatibleSchema, match=subject):
        await feed.registry.register(subject, BREAKING)
    assert (await feed.registry.latest(subject) or (0, {}))[1] == ONE


async def test_a_schema_is_found_among_all_versions(feed: Feed) -> None:
    """A subject has the schemas that were registered under it, and no others."""
    subject = f"{feed.pipeline}-value"
    assert not await feed.registry.has(subject, ONE)
    await feed.registry.register(subject, ONE)
    await feed.registry.register(subject, WIDER)
    assert await feed.registry.has(subject, ONE)
    assert not await feed.registry.has(subject, BREAKING)


async def test_a_table_that_is_again_what_it_was_has_the_newest_schema(feed: Feed) -> None:
    """Whatever a table was before, the newest schema is the one that its records are written with,
    and workers who find the same table find the same schema.
    """
    subject = f"{feed.pipeline}.ks.t-value"
    without, with_w = table("t", "p:p int"), table("t", "p:p int; r:w int")
    ids = []
    for spec in (without, with_w, without, with_w, without):
        for _ in ("one worker", "another"):
            writer = TableWriter(spec, f"{feed.pipeline}.ks.t", 1, feed.pipeline)
            async with Registry(feed.registry_settings) as registry:
                await writer.register(registry)
                latest = await registry.latest(subject)
            event = change(spec, "d", [1])
            ((_, _, value),) = writer.records([event], 0)
            written = schema_id_of(value)
            assert latest is not None
            assert (latest[0], table_from_schema(latest[1])) == (written, spec)
            ids.append(written)
    assert len(set(ids)) == 5
    assert ids[::2] == ids[1::2]


async def test_an_absent_registry_is_transient() -> None:
    """A registry that does not answer may answer later."""
    async with Registry(RegistrySettings(url="http://127.0.0.1:1")) as registry:
        with pytest.raises(Transient, match="registry"):
            await registry.ping()
        with pytest.raises(Transient, match="registry"):
            await registry.latest("subject")


def test_a_wrong_url_is_a_configuration_error() -> None:
    """A URL that is none is said at once, and not quoted: it could hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        Registry(RegistrySettings(url="user:secret@host"))
    assert "secret" not in str(caught.value)
