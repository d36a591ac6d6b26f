"""The search for what a batch is refused for."""

import math
import random

import pytest

from cdcd.sink.bisection import Bisection


def search(count: int, guilty: set[int]) -> tuple[list[int], list[int], int]:
    """What is applied in order, what is found guilty, and how many tries it took."""
    found, applied, tries = Bisection(count), [], 0
    while (part := found.next) is not None:
        tries += 1
        if guilty.isdisjoint(part):
            applied += list(part)
            found.good()
        else:
            found.bad()
    return applied, found.guilty, tries


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 1])
def test_the_guilty_are_found_and_the_others_applied_in_order(count: int, share: float) -> None:
    """All of the guilty and only these are left out, whatever their number."""
    chance = random.Random(count)
    guilty = {n for n in range(count) if chance.random() < share}
    applied, found, _ = search(count, guilty)
    assert found == sorted(guilty)
    assert applied == [n for n in range(count) if n not in guilty]


@pytest.mark.parametrize("count", [1, 2, 100, 4096, 5000])
@pytest.mark.parametrize("guilty", [0, 1, 7, 50, 5000])
def test_the_search_is_bounded(count: int, guilty: int) -> None:
    """With k guilty of n at most 2k·log2(n)+1 parts are tried, and never more than 2n."""
    chance = random.Random(guilty)
    chosen = set(chance.sample(range(count), min(guilty, count)))
    _, _, tries = search(count, chosen)
    assert tries <= 2 * len(chosen) * math.ceil(math.log2(count)) + 1
    assert tries <= 2 * count


def test_each_change_is_tried_a_few_times() -> None:
    """The work on rows is n·log2(n) at most, however many are guilty."""
    found, work = Bisection(4096), 0
    while (part := found.next) is not None:
        work += len(part)
        found.bad()
    assert work == 4096 * (math.log2(4096) + 1)
