"""A user and password for a database."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password, and which of those that came one after the other it is."""

    user: str
    password: str = field(repr=False)
    number: int
