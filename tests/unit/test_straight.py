"""Functions made of text."""

import traceback

import pytest

from cdcd.model.straight import straight_line


def test_lines_become_a_function() -> None:
    """The lines are the body of a function, which sees what it is given."""
    add = straight_line("add(a)", ["b = a + one", "return b"], {"one": 1})
    assert add(2) == 3


def test_tracebacks_show_the_lines() -> None:
    """A traceback through such a function shows the line that failed."""
    fail = straight_line("fail()", ["x = 1", "return x / 0"], {})
    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    shown = "".join(traceback.format_exception(caught.value))
    assert "return x / 0" in shown
