"""What a copy leaves: rows of the target that are gone from the source.

A copy brings the rows that are there; a range of tokens means nothing to PostgreSQL, so it cannot
clear one. When all of the copy is applied, both sides are compared, and rows that only the target
has are refreshed. A refresh is right for any row, so none of them needs a trial.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from cdcd.config.settings import Settings
from cdcd.model.position import TokenRange
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.logs import get_logger
from cdcd.reconcile.compare import Suspect
from cdcd.reconcile.digest import Key
from cdcd.reconcile.part import Part
from cdcd.reconcile.run import Clients, clients, refreshed
from cdcd.reconcile.verify import Verifier
from cdcd.transport.brokers import Brokers

log = get_logger()

# How long the sink may take to apply what was copied, and how often one reading is repeated that
# found more rows than it may name.
APPLY_SECONDS_MAX = 3600.0
ROUNDS_MAX = 100


async def writers(settings: Settings) -> bool:
    """Whether any worker writes a target. Raises Fatal where there is no pipeline."""
    return bool((await Brokers(settings.kafka).workers(settings.name))["sink"])


async def remove_leftovers(
    settings: Settings, tables: Collection[str], tokens: TokenRange
) -> Mapping[str, int]:
    """Have rows refreshed that only the target has, of partitions with tokens in the range; gives
    their number by table. Raises CdcdError where it cannot finish.
    """
    async with clients(settings) as opened:
        patient = replace(opened.applied, wait_seconds_max=APPLY_SECONDS_MAX)
        every = range(opened.lanes)
        found = {}
        for name in tables:
            table = opened.tables[name]
            await patient.past(table.spec, every, wall_clock_ms())
            found[name] = 0
            for part in await opened.parts(table):
                found[name] += await _remove(opened, part, tokens)
        return found


async def _remove(clients: Clients, part: Part, tokens: TokenRange) -> int:
    verifier, removed = clients.verifier(part), 0
    for _ in range(ROUNDS_MAX):
        suspects, is_cut = await verifier.narrow(await verifier.count())
        extra = await _only_in_target(verifier, suspects, tokens)
        if extra:
            log.info("rows that the source does not have", table=part.name, rows=len(extra))
            await refreshed(clients, verifier, extra)
            removed += len(extra)
        if not is_cut or not extra:
            break
    return removed


async def _only_in_target(
    verifier: Verifier, suspects: Mapping[Key, Suspect], tokens: TokenRange
) -> dict[Key, Suspect]:
    """Those of the suspects that have no row in the source, looked at once more."""
    within = {
        key: suspect
        for key, suspect in suspects.items()
        if suspect.seen.source is None
        and tokens.start < verifier.part.token(suspect.cql_key) <= tokens.end
    }
    looked = await verifier.look(within)
    return {
        key: suspect
        for key, suspect in within.items()
        if looked[key].source is None and looked[key].target is not None
    }
