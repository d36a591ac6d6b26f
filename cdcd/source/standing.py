"""What a follower holds of its table: the readers of it, and where it stands."""

from dataclasses import dataclass

from cdcd.source.auditing import Auditing
from cdcd.source.key_reader import KeyReader
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes
from cdcd.source.log_reader import LogReader
from cdcd.source.progress import Progress
from cdcd.source.refresh import BaseReader
from cdcd.source.settling import Settling


@dataclass(frozen=True)
class Readers:
    """The readers of a table as it was at one version of the schema."""

    version: str
    log: LogReader
    keys: KeyReader
    base: BaseReader


@dataclass(frozen=True)
class Standing:
    """Where a table stands, in memory ahead of what is saved."""

    progress: Progress
    settling: Settling
    ledger: Ledger
    listed: ListedRefreshes
    auditing: Auditing
