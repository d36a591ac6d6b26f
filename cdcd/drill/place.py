"""The names of a drill's things: all begin with `cdcd_drill`, and no two drills share one. Pure."""

import secrets
from dataclasses import dataclass

from cdcd.drill.kinds import Kind

NAME = "cdcd_drill"


@dataclass(frozen=True, slots=True)
class Place:
    """The names of one drill's things."""

    pipeline: str
    keyspace: str
    table: str
    schema: str = NAME

    @classmethod
    def new(cls, kind: Kind) -> "Place":
        """Names that no drill had before."""
        table = f"{kind.name}_{secrets.token_hex(3)}"
        keyspace = f"{NAME}_tablets" if kind.tablets else NAME
        return cls(f"{NAME}_{table}", keyspace, table)

    @property
    def full_name(self) -> str:
        """Keyspace and table."""
        return f"{self.keyspace}.{self.table}"

    @property
    def topic(self) -> str:
        """The table's topic."""
        return f"{self.pipeline}.{self.full_name}"
