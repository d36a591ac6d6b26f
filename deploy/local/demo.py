#!/usr/bin/env python3
"""`make demo`: rows from ScyllaDB's log through Kafka into PostgreSQL, started, shown, measured."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING

from demod import servers, watching
from demod.daemon import LOG, Daemon
from demod.errors import DemoError
from demod.places import KEYSPACE, LOCAL, PIPELINE

if TYPE_CHECKING:  # the clients' libraries are not there when `stop` runs without .venv
    from demod.screen import Screen
    from demod.story import Result

_KEPT = """
Everything still runs. To look around:

   psql "$(grep -o 'postgresql://cdcd:[^"]*' {local}/stack.json)" \\
       -c 'SELECT email, loyalty_points, cdc_timestamp FROM cdc_data.users'
   .venv/bin/cdcd -c {local}/cdcd.toml status --name {pipeline}
   .venv/bin/python deploy/local/demo.py cql 'SELECT email, loyalty_points FROM {keyspace}.users'
   .venv/bin/python deploy/local/demo.py records users    # of topic {pipeline}.{keyspace}.users
   curl {url}/status
   tail -f {log}
{watched}
Write something with `demo.py cql 'UPDATE ...'` and look again. `make down` stops all of it.
"""
_ERROR_CHARACTERS_MAX = 500


def main() -> int:
    """Exit status: 0 all arrived; 1 something did not; 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND")
    verbs.add_parser("stop", help="stop the daemon that KEEP=1 has left running")
    cql = verbs.add_parser("cql", help="run one CQL statement on the local stack")
    cql.add_argument("statement")
    records = verbs.add_parser("records", help="print the records of a table's topic as JSON")
    records.add_argument("table")
    args = parser.parse_args()
    # The demo is of the local stack: a setting meant for another cluster must not leak into it.
    for name in [n for n in os.environ if n.startswith("CDCD_")]:
        del os.environ[name]
    match args.verb:
        case "stop":
            _stop_kept()
        case "cql":
            return _look(lambda look: look.cql(servers.addresses(), args.statement))
        case "records":
            return _look(lambda look: look.records(servers.addresses(), args.table))
        case _:
            return _demo(keep=os.environ.get("KEEP", "0") not in ("", "0"))
    return 0


def _stop_kept() -> bool:
    watching.stop()
    kept = Daemon.kept()
    if kept is not None:
        print(f"==> stopping the daemon of an earlier demo (pid {kept.pid})", flush=True)
        kept.stop()
    return kept is not None


def _demo(*, keep: bool) -> int:
    from demod.screen import Screen  # noqa: PLC0415  not for `stop`
    from demod.story import Result  # noqa: PLC0415  not for `stop`

    screen, result = Screen(), Result()
    stack_is_ours = not servers.is_there()
    failure: BaseException | None = None
    try:
        _play(screen, result)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  told below, in every case
        failure = error
    line = {**asdict(result), "passed": result.passed and failure is None}
    if failure is not None:
        line |= _tell(failure)
    if keep and failure is None:
        _show_kept()
    else:
        _end(stack_is_ours=stack_is_ours)
    print(json.dumps(line, separators=(",", ":")), flush=True)
    if isinstance(failure, KeyboardInterrupt):
        return 130
    return 0 if line["passed"] else 1


def _play(screen: Screen, result: Result) -> None:
    from demod.story import play  # noqa: PLC0415  not for `stop`

    _stop_kept()
    screen.step("The local stack: ScyllaDB stand-in, Kafka, registry, PostgreSQL")
    addresses = servers.up()
    watch = None
    if watching.is_wanted():
        screen.step("What watches: Jaeger, Prometheus, Alertmanager")
        watch = watching.Watch.begin()
    asyncio.run(play(addresses, screen, result, watch))


def _tell(failure: BaseException) -> dict[str, str]:
    """Say on stderr what went wrong, and put the logs where they outlive the stack."""
    logs = servers.save_logs()
    if isinstance(failure, DemoError):
        what = str(failure)
    elif isinstance(failure, KeyboardInterrupt):
        what = "interrupted"
    else:
        (logs / "demo.txt").write_text("".join(traceback.format_exception(failure)))
        what = f"{type(failure).__name__}: {failure}"
    print(f"\ndemo: {what}\n  logs: {logs}", file=sys.stderr, flush=True)
    return {"error": " ".join(what.split())[:_ERROR_CHARACTERS_MAX], "logs": str(logs)}


def _end(*, stack_is_ours: bool) -> None:
    """Stop what this demo has started, whatever else goes wrong."""
    print(flush=True)
    daemon = Daemon.kept()
    if daemon is not None:
        daemon.stop()
        print("==> The daemon is stopped.", flush=True)
    watching.stop()
    if not stack_is_ours:
        print("The stack was up before the demo, so it stays; `make down` stops it.", flush=True)
    elif servers.is_there():
        try:
            servers.down()
        except DemoError as error:
            print(f"demo: {error}; {LOCAL} is left", file=sys.stderr, flush=True)


def _show_kept() -> None:
    daemon = Daemon.kept()
    url = daemon.url if daemon else ""
    local, log = os.path.relpath(LOCAL), os.path.relpath(LOG)
    watched = "".join(f"   {name:<12} {place}\n" for name, place in watching.kept())
    shown = {"pipeline": PIPELINE, "keyspace": KEYSPACE, "url": url, "local": local}
    print(_KEPT.format(watched=watched, log=log, **shown), flush=True)


def _look(run: Callable[[ModuleType], None]) -> int:
    from demod import look  # noqa: PLC0415  not for `stop`

    try:
        run(look)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
