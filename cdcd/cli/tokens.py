"""A range of tokens on the command line: `A:B`, `A:` or `:B`. Pure."""

import re
from typing import Any

import click

from cdcd.model.position import RING_MAX, RING_MIN, TokenRange

WHOLE_RING = TokenRange(RING_MIN - 1, RING_MAX)
_RANGE = re.compile(r"(-?[0-9]{1,20})?:(-?[0-9]{1,20})?")


def parsed_tokens(text: str) -> TokenRange:
    """Tokens behind the first number, up to the second; an end that is left out is the ring's.
    Raises ValueError with a reason for what is no such range.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError("two whole numbers are wanted, as in -100:100, or -100: or :100")
    first, last = found.groups()
    if first is None and last is None:
        raise ValueError("a number is wanted; without --tokens all of a table is copied")
    start = WHOLE_RING.start if first is None else int(first)
    end = WHOLE_RING.end if last is None else int(last)
    if start < WHOLE_RING.start or end > WHOLE_RING.end:
        raise ValueError(f"tokens are {RING_MIN} to {RING_MAX}")
    if start >= end:
        raise ValueError("no token lies behind the first number and up to the second")
    return TokenRange(start, end)


def shown_tokens(tokens: TokenRange) -> str:
    """The range as `parsed_tokens` takes it."""
    return f"{tokens.start}:{tokens.end}"


class _Tokens(click.ParamType[TokenRange]):
    """The value of an option."""

    name = "A:B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TokenRange:
        """A range of tokens, once read, is one."""
        if isinstance(value, TokenRange):
            return value
        try:
            return parsed_tokens(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


TOKENS = _Tokens()
