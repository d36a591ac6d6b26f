"""What each SQLSTATE means for a batch that met it: one table, as data. Pure.

By code or by its class of two characters, the longer one wins (PostgreSQL manual, appendix A).
Data and constraints are refused row by row, and so is what a trigger of the target's owner raises:
all of these come from what a row holds. What is away or busy is tried again. What is wrong with
the target itself stops its table. A wrong setting or a broken protocol ends the process.
"""

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What a failure means for the batch that met it."""

    TRANSIENT = auto()
    REJECTED = auto()
    TABLE = auto()
    CONFIGURATION = auto()
    FATAL = auto()


class Meaning(NamedTuple):
    """`reason` is a word for metrics and lists; only what is rejected has one."""

    kind: Kind
    reason: str = ""


_TRANSIENT, _TABLE = Meaning(Kind.TRANSIENT), Meaning(Kind.TABLE)
_CONFIGURATION, _FATAL = Meaning(Kind.CONFIGURATION), Meaning(Kind.FATAL)
_DATA = Meaning(Kind.REJECTED, "data")
_CONSTRAINT = Meaning(Kind.REJECTED, "constraint")
_TRIGGER = Meaning(Kind.REJECTED, "trigger")
_LIMIT = Meaning(Kind.REJECTED, "limit")

# A value that cdcd itself sees not to fit, before PostgreSQL does.
UNSTORABLE = "unstorable"

SQLSTATES = {
    "08": _TRANSIENT,  # connection; 08P01 is also what PgBouncer says when PostgreSQL is away
    "09": _TRIGGER,  # triggered action
    "0A": _TABLE,  # feature not supported
    "0B": _FATAL,  # transaction initiation
    "20": _TRIGGER,  # a CASE of a function of the owner's without a match
    "21": _DATA,  # cardinality: two keys that PostgreSQL cannot tell apart
    "22": _DATA,  # data
    "23": _CONSTRAINT,  # constraints, which only the target's owner can have added
    "24": _TABLE,  # cursor state, of a function of the owner's
    "25": _FATAL,  # transaction state
    "25006": _TRANSIENT,  # read only: a standby, until the fail-over has ended
    "25P03": _TRANSIENT,  # idle in transaction for too long
    "25P04": _TRANSIENT,  # transaction timeout
    "26": _FATAL,  # a prepared statement that is not there
    "27": _TRIGGER,  # triggered data change
    "28": _CONFIGURATION,  # authorization
    "2B": _TABLE,  # privileges that others depend on
    "2D": _TABLE,  # a trigger that commits
    "2F": _TABLE,  # a function that does what it may not
    "34": _TABLE,  # cursor name, of a function of the owner's
    "38": _TRIGGER,  # raised by a function in another language
    "39": _TABLE,  # a function that does not keep to its protocol
    "3B": _FATAL,  # savepoint
    "3D": _CONFIGURATION,  # no such database
    "3F": _TABLE,  # no such schema
    "40": _TRANSIENT,  # rolled back: deadlock, serialization
    "40002": _CONSTRAINT,  # constraint at the transaction's end
    "42": _TABLE,  # the target is not what it was: dropped, renamed, retyped
    "42501": _CONFIGURATION,  # privilege
    "44": _CONSTRAINT,  # check option
    "53": _TRANSIENT,  # resources: disk, memory, connections
    "54": _LIMIT,  # program limits: a key too long for an index
    "54001": _TABLE,  # a statement too complex: triggers that call each other
    "54011": _TABLE,  # too many columns
    "54023": _TABLE,  # too many arguments
    "55": _TRANSIENT,  # object in use, lock not available
    "57": _TRANSIENT,  # operator: shutdown, start-up, statement timeout
    "57P04": _CONFIGURATION,  # database dropped
    "58": _TRANSIENT,  # input and output
    "72": _TRANSIENT,  # snapshot too old
    "F0": _CONFIGURATION,  # the server's settings file
    "HV": _TRANSIENT,  # a foreign server that a trigger asks
    "P0": _TRIGGER,  # raised by a trigger
    "XX": _TABLE,  # internal error, data or index corrupted
}


def meaning_of(sqlstate: str | None) -> Meaning:
    """What a SQLSTATE means. A class that is not in the table no statement of cdcd's can cause: a
    trigger raised it (`RAISE … USING ERRCODE`). No SQLSTATE at all is fatal.
    """
    if not sqlstate:
        return _FATAL
    return SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2]) or _TRIGGER
