"""`cdcd status --watch`: a worker's tables, live, from its `/status`."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cdcd.cli.port import client_of, is_about_certificates, url_of
from cdcd.cli.show import duration
from cdcd.config.settings import HttpSettings
from cdcd.model.errors import ConfigurationError, Fatal
from cdcd.ops.logs import redact_text

EVERY_SECONDS = 1.0
SAMPLES = 40
BARS = "▁▂▃▄▅▆▇█"
# A lag below this is drawn as the lowest bar: small ones would look like mountains otherwise.
FLAT_SECONDS = 1.0

STYLES = {"running": "green", "paused": "yellow", "retrying": "yellow", "starting": "yellow"}

Look = Mapping[str, Any]


class History:
    """What the looks so far say of each table: rates since the last one, and lags."""

    def __init__(self) -> None:
        self._before: Look | None = None
        self._lags: dict[str, deque[float | None]] = {}

    def take(self, look: Look) -> dict[str, dict[str, float | None]]:
        """Take in a look; gives changes per second by table, of `published` and `applied`.

        They are None at the first look, and at the first one after the worker was started again.
        """
        before, self._before = self._before, look
        for table in look["tables"]:
            seen = self._lags.setdefault(table["table"], deque(maxlen=SAMPLES))
            seen.append(table["lag_seconds"])
        if before is None or before["started_ms"] != look["started_ms"]:
            return {t["table"]: dict.fromkeys(("published", "applied")) for t in look["tables"]}
        seconds = (look["now_ms"] - before["now_ms"]) / 1000
        old = {t["table"]: t for t in before["tables"]}
        return {
            t["table"]: {
                name: _rate(old.get(t["table"]), t, name, seconds)
                for name in ("published", "applied")
            }
            for t in look["tables"]
        }

    def lags(self, table: str) -> Sequence[float | None]:
        """The table's last lags in seconds, the newest last."""
        return self._lags.get(table, ())


def _rate(old: Look | None, new: Look, name: str, seconds: float) -> float | None:
    if old is None or seconds <= 0:
        return None
    return float(max(new[name] - old[name], 0)) / seconds


def sparkline(values: Sequence[float | None]) -> str:
    """A bar for each value, as high as it is among them; a blank for None."""
    top = max([FLAT_SECONDS, *(v for v in values if v is not None)])
    return "".join(
        " " if v is None else BARS[min(int(v / top * len(BARS)), len(BARS) - 1)] for v in values
    )


def picture(look: Look, history: History, rates: Mapping[str, Mapping[str, float | None]]) -> Group:
    """One look as it is drawn."""
    state = Text("ready", "green") if look["ready"] else Text("not ready", "red")
    head = Text.assemble(
        (look["name"], "bold"), "  ", state, f"  worker {look['instance']}", style="default"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    table.add_column("state")
    for title in ("lag", "waiting", "published/s", "applied/s"):
        table.add_column(title, justify="right")
    table.add_column("lag so far")
    for each in look["tables"]:
        name, how = each["table"], each["state"]
        table.add_row(
            Text(name),
            Text(how.replace("_", " "), STYLES.get(how, "red")),
            "" if each["lag_seconds"] is None else duration(each["lag_seconds"]),
            "" if each["waiting"] is None else str(each["waiting"]),
            *(_number(rates[name][which]) for which in ("published", "applied")),
            Text(sparkline(history.lags(name)), "cyan"),
        )
    reasons = [Text(f"  {redact_text(r)}", "yellow") for r in look["reasons"]]
    return Group(head, table, *reasons)


def _number(rate: float | None) -> str:
    return "" if rate is None else f"{rate:,.0f}"


async def watch(http: HttpSettings, url: str | None, out: Console, *, as_json: bool) -> None:
    """Show the worker at `url`, or where the settings say, until interrupted. Raises Fatal when it
    does not answer.

    On a terminal one picture is drawn anew; elsewhere each look is a line.
    """
    history = History()
    if as_json or not out.is_terminal:
        async for look in _looks(http, url):
            rates = history.take(look)
            click.echo(json.dumps(look) if as_json else _line(look, rates))
        return
    with Live(console=out, auto_refresh=False) as live:
        async for look in _looks(http, url):
            rates = history.take(look)
            live.update(picture(look, history, rates), refresh=True)


def _line(look: Look, rates: Mapping[str, Mapping[str, float | None]]) -> str:
    worst = max((t["lag_seconds"] or 0.0 for t in look["tables"]), default=0.0)
    applied = sum(r["applied"] or 0.0 for r in rates.values())
    ready = "ready" if look["ready"] else "not ready"
    return f"{look['name']} {ready}: highest lag {duration(worst)}, {applied:,.0f} applied/s"


async def _looks(http: HttpSettings, url: str | None) -> AsyncIterator[Look]:
    place = (url or url_of(http)).rstrip("/")
    async with client_of(http) as client:
        while True:
            try:
                async with client.get(f"{place}/status", raise_for_status=True) as answer:
                    found: Look = await answer.json()
            except (aiohttp.ClientError, ValueError, TimeoutError) as error:
                if is_about_certificates(error):
                    raise ConfigurationError(f"{place}: {error}", "see [http.tls]") from error
                message = f"no daemon answers at {place}"
                raise Fatal(message, "is it running there? --url names another place") from error
            yield found
            await asyncio.sleep(EVERY_SECONDS)
