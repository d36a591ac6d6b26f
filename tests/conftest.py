"""What holds for every test: its folder is its marker, and no failure hides in the event loop."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.builds import Beside
from tests.stack import Stack, load

FOLDER = Path(__file__).parent

# How long an example takes says nothing on a machine that does other work too.
hypothesis.settings.register_profile("unhurried", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")

MARKERS = {"unit", "model", "simulation", "contract", "integration", "scenario"}
_EXPLORED: set[str] = set()


def _builds(item: pytest.Item) -> set[str]:
    return {name for mark in item.iter_markers("builds") for name in mark.args}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder that it is in.

    What takes long comes first, what needs something compiled behind it, and the unit tests last:
    they are many and short, and fill up whichever process is done first.
    """
    for item in items:
        folder = item.path.relative_to(FOLDER).parts[0]
        if folder in MARKERS:
            item.add_marker(folder)
    items.sort(key=lambda item: (bool(item.get_closest_marker("unit")), bool(_builds(item))))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what the model's tests tell, in the process that tells it in the end."""
    _EXPLORED.update(str(told) for name, told in report.user_properties if name == "explored")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many states the model's specifications have, a line for each."""
    if _EXPLORED:
        terminalreporter.section("states explored by the model")
        for line in sorted(_EXPLORED):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def compiled_beside(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the compilers begin while other tests run."""
    items = request.session.items
    names = {name for item in items for name in _builds(item)}
    is_first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    if not is_first or not names or all(_builds(item) for item in items):
        yield
        return
    beside = Beside(names)
    yield
    beside.end()


class _LoopFailures(logging.Handler):
    """Keeps what asyncio logs as errors: exceptions of callbacks and of tasks nobody awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


@pytest.fixture(autouse=True)
def no_unhandled_loop_exception() -> Iterator[None]:
    """Fail the test that left an exception to the event loop."""
    failures = _LoopFailures()
    logger = logging.getLogger("asyncio")
    logger.addHandler(failures)
    try:
        yield
    finally:
        logger.removeHandler(failures)
    assert not failures.seen, failures.seen


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running services, started when a test first asks for them."""
    return load()
