"""Tells in the end of a run how many states the model's specifications have."""

import pytest

EXPLORED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(EXPLORED, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each specification."""
    explored = terminalreporter.config.stash.get(EXPLORED, [])
    if explored:
        terminalreporter.section("states explored by the model")
        for line in sorted(explored):
            terminalreporter.write_line(line)


@pytest.fixture
def explored(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run."""
    return pytestconfig.stash.setdefault(EXPLORED, [])
