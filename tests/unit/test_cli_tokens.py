"""A range of tokens as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.cli.main import main
from cdcd.cli.tokens import WHOLE_RING, parsed_tokens, shown_tokens
from cdcd.model.lane import lane_range
from cdcd.model.position import RING_MAX, RING_MIN, TokenRange


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("-100:100", TokenRange(-100, 100)),
        ("0:1", TokenRange(0, 1)),
        (":100", TokenRange(RING_MIN - 1, 100)),
        ("-100:", TokenRange(-100, RING_MAX)),
        (f"{RING_MIN}:{RING_MAX}", TokenRange(RING_MIN, RING_MAX)),
    ],
)
def test_a_range(text: str, tokens: TokenRange) -> None:
    """Two numbers are what lies behind the first, up to the second; one that is left out is the
    ring's end.
    """
    assert parsed_tokens(text) == tokens


@pytest.mark.parametrize(
    "text",
    ["", ":", "5", "a:b", "1.5:2", "1:2:3", " 1:2", "1: 2", "1_0:20", "+1:2", "٣:9", "--1:2"],
)
def test_what_is_no_range(text: str) -> None:
    """What is not two whole numbers about a colon is refused, so that no typing error copies half
    of a table.
    """
    with pytest.raises(ValueError, match="wanted"):
        parsed_tokens(text)


@pytest.mark.parametrize("text", ["1:1", "2:1", f"{RING_MAX}:", f"{2**63}:", f":{RING_MIN - 1}"])
def test_an_empty_range(text: str) -> None:
    """A range that holds no token is refused."""
    with pytest.raises(ValueError, match="no token lies"):
        parsed_tokens(text)


@pytest.mark.parametrize("text", [f"{RING_MIN - 2}:0", f"0:{RING_MAX + 1}", f"{RING_MIN * 9}:"])
def test_numbers_that_are_no_tokens(text: str) -> None:
    """Numbers off the ring are refused, and the ring's ends are named."""
    with pytest.raises(ValueError, match=f"tokens are {RING_MIN} to {RING_MAX}"):
        parsed_tokens(text)


@given(st.integers(RING_MIN - 1, RING_MAX), st.integers(RING_MIN - 1, RING_MAX))
def test_what_is_shown_is_taken(one: int, other: int) -> None:
    """The form that the audit line has is one that the option takes."""
    if one != other:
        tokens = TokenRange(min(one, other), max(one, other))
        assert parsed_tokens(shown_tokens(tokens)) == tokens


def test_the_whole_ring_is_all_lanes() -> None:
    """Without a range every token of every lane is meant."""
    first, last = lane_range(0, 8), lane_range(7, 8)
    assert TokenRange(first.start, last.end) == WHOLE_RING


@pytest.mark.parametrize("text", ["", "5", "2:1", f"{-(10**300)}:"])
def test_a_mistake_is_two_lines(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """The command ends with 2 before it opens anything, names the option and the value, and says
    where help is.
    """
    assert main(["backfill", "ks.t", "--tokens", text]) == 2
    out, err = capsys.readouterr()
    what, hint = err.splitlines()
    assert (out, "--tokens" in what, repr(text) in what) == ("", True, True)
    assert hint.strip() == "see 'cdcd backfill --help'"
