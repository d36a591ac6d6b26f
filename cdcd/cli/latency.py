"""Look: how long changes of a table take on their way."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from cdcd.cli.invocation import Invocation
from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.config.settings import HttpSettings, Settings
from cdcd.model.errors import ConfigurationError, ExitCode
from cdcd.ops.quantiles import Buckets, between, bucket_quantile, buckets_of, quantile, together

SHARES = {"p50": 0.5, "p95": 0.95}
WAYS = {
    "scylla_to_kafka": "ScyllaDB to Kafka",
    "kafka_to_postgres": "Kafka to PostgreSQL",
    "end_to_end": "end to end",
}


@click.command(short_help="Show how long changes of a table take.")
@click.option("--table", required=True, metavar="KS.TABLE", help="The table.")
@click.option(
    "--last",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="How many of the topic's newest changes to look at.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=0.0,
    metavar="S",
    help="Watch daemons for so long, in place of all since their start.",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Where a daemon is; repeatable; by default where http says.",
)
@click.option("--name", metavar="NAME", help="The pipeline, as in `cdcd run --name`.")
@json_option
@click.pass_obj
def latency(  # noqa: PLR0913, PLR0917  click passes each option as an argument
    invocation: Invocation,
    table: str,
    last: int,
    seconds: float,
    urls: tuple[str, ...],
    name: str | None,
    as_json: bool,
) -> int:
    """Show how long changes of a table take: half of them, and 95 of 100.

    ScyllaDB to Kafka is measured by the newest records of the table's topic; what
    PostgreSQL adds by the metrics of daemons, whose figures are estimated within
    the bounds of their histograms. Nothing is written.
    """
    settings = invocation.settings({"name": name})
    ages = asyncio.run(_ages(settings, table, last))
    ways, away = asyncio.run(_exported(settings.http, urls, table, seconds))
    found: dict[str, Any] = {"scylla_to_kafka": _of(ages)}
    found |= {way: _of_buckets(buckets) for way, buckets in ways.items()}
    if as_json:
        click.echo(json.dumps({"pipeline": settings.name, "table": table, **found}, indent=2))
    else:
        _show(found)
    for reason in away:
        click.echo(f"cdcd: {reason}", err=True)
    return ExitCode.OUTSIDE if away else ExitCode.DONE


async def _ages(settings: Settings, table: str, count: int) -> list[float]:
    from cdcd.transport.newest import newest_ages  # noqa: PLC0415  needs client libraries
    from cdcd.transport.registry import Registry  # noqa: PLC0415
    from cdcd.transport.topics import Topics  # noqa: PLC0415

    topic = f"{settings.name}.{table}"
    if topic not in await Topics(settings.kafka).partitions():
        raise ConfigurationError(f"there is no topic {topic}", "see `cdcd status`")
    async with Registry(settings.registry) as registry:
        return await newest_ages(settings.kafka, registry, topic, count)


async def _exported(
    http: HttpSettings, urls: Sequence[str], table: str, seconds: float
) -> tuple[dict[str, Buckets], list[str]]:
    """The histograms of all daemons together, and which of them are away."""
    ways: dict[str, Buckets] = {"kafka_to_postgres": {}, "end_to_end": {}}
    before, away = await _scrape(http, urls) if seconds else ({}, [])
    await asyncio.sleep(seconds)
    after, away = await _scrape(http, urls)
    for url, text in after.items():
        for way, buckets in ways.items():
            metric = f"cdcd_{way}_seconds"
            first = buckets_of(before.get(url, ""), metric, table)
            ways[way] = together(buckets, between(first, buckets_of(text, metric, table)))
    return ways, away


async def _scrape(http: HttpSettings, urls: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    from aiohttp import ClientError  # noqa: PLC0415  for --help's sake

    from cdcd.cli.port import client_of, url_of  # noqa: PLC0415  for --help's sake

    found, away = {}, []
    async with client_of(http) as session:
        for url in urls or (url_of(http),):
            try:
                async with session.get(f"{url.rstrip('/')}/metrics") as answer:
                    answer.raise_for_status()
                    found[url] = await answer.text()
            except (ClientError, TimeoutError) as error:
                away.append(f"no metrics at {url}: {str(error) or type(error).__name__}")
    return found, away


def _of(ages: Sequence[float]) -> dict[str, Any]:
    shares = {name: quantile(ages, share) for name, share in SHARES.items()}
    return {"changes": len(ages), **_rounded(shares)}


def _of_buckets(buckets: Buckets) -> dict[str, Any]:
    shares = {name: bucket_quantile(buckets, share) for name, share in SHARES.items()}
    return {"changes": int(max(buckets.values(), default=0)), **_rounded(shares)}


def _rounded(shares: dict[str, float | None]) -> dict[str, float | None]:
    return {f"{n}_seconds": None if v is None else round(v, 4) for n, v in shares.items()}


def _show(found: dict[str, Any]) -> None:
    table = Table("", box=None, pad_edge=False)
    for title in ("p50", "p95", "changes"):
        table.add_column(title, justify="right")
    for way, title in WAYS.items():
        measured = found[way]
        shown = [measured[f"{share}_seconds"] for share in SHARES]
        texts = ["" if seconds is None else f"{seconds:.3f} s" for seconds in shown]
        table.add_row(title, *texts, str(measured["changes"]))
    console().print(table)
