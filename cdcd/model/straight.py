"""Functions made of text: straight-line code for one table, where a loop over columns costs more.

What is looked up for each column and change in a loop (which column, which decoder, is there one
more) is a constant in such code, which makes it twice as fast or better. Text is made of positions
and of our own names alone: names of columns, and whatever else comes from outside, are reached
through `given`, so that no name can become code. Tracebacks and profiles show the text's lines.
"""

import linecache
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

_numbers = count(1)


def straight_line(
    signature: str, body: Iterable[str], given: Mapping[str, object]
) -> Callable[..., Any]:
    """The function `def <signature>:` with these lines, which see the names in `given`."""
    text = "\n".join([f"def {signature}:", *(f"    {line}" for line in body), ""])
    file = f"<{signature.partition('(')[0]} {next(_numbers)}>"
    names: dict[str, Any] = dict(given)
    exec(compile(text, file, "exec"), names)  # noqa: S102  see the module's docstring
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    made: Callable[..., Any] = names[signature.partition("(")[0]]
    return made
