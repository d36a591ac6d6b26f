"""The verdict on mutants: what is alive, and what has no reason to be."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.mutants.report import Found, Reasons, page, parsed, problems

ROOT = Path(__file__).resolve().parent.parent.parent
LINE = "    cdcd.sink.merge.xǁ_Mergingǁadd__mutmut_7: survived"
DIFFERENCE = """# cdcd.sink.merge: survived
--- cdcd/sink/merge.py
+++ cdcd/sink/merge.py
@@ -4,4 +4,4 @@
     kept
-    a = 1
+    a = 2
"""
ALIVE = Found(parsed(LINE), DIFFERENCE)
KNOWN = Reasons({("cdcd.sink.merge._Merging.add", "a = 2"): "It is the same."})


def killed(count: int) -> list[Found]:
    """Mutants that were seen."""
    return [Found(parsed(f"cdcd.a.x_f__mutmut_{n}: killed")) for n in range(count)]


def test_a_mutant_is_of_a_function() -> None:
    """A line of results says module and function, of a class too."""
    assert ALIVE.mutant.module == "cdcd.sink.merge"
    assert ALIVE.mutant.function == "_Merging.add"
    assert ALIVE.mutant.name == LINE.split(":", maxsplit=1)[0].strip()
    assert ALIVE.change == ("a = 1", "a = 2")
    assert parsed("cdcd.a.x__b__mutmut_1: killed").function == "_b"
    with pytest.raises(ValueError, match="not a mutant"):
        parsed("something else")


@pytest.mark.parametrize(
    ("status", "is_alive"),
    [
        ("killed", False),
        ("timeout", False),
        ("survived", True),
        ("no tests", True),
        ("not checked", True),
        ("of a newer version", True),
    ],
)
def test_what_no_test_has_seen_is_alive(status: str, is_alive: bool) -> None:
    """A mutant is dead only where a test has seen it."""
    assert parsed(f"cdcd.a.x_b__mutmut_1: {status}").is_alive is is_alive


def test_few_with_reasons_are_good() -> None:
    """Up to one in twenty may live, each with its reason."""
    assert problems([*killed(19), ALIVE], KNOWN) == []
    assert problems([*killed(18), ALIVE], KNOWN) == ["1 of 19 are more than 5%"]


def test_one_without_a_reason_is_not() -> None:
    """A mutant that is not in the list is named, with its line."""
    assert problems([*killed(50), ALIVE], Reasons({})) == [
        "cdcd.sink.merge.xǁ_Mergingǁadd__mutmut_7 is survived without a reason: a = 2"
    ]


def test_nothing_is_not_good() -> None:
    """A run without mutants has shown nothing."""
    assert problems([], KNOWN) == ["there are no mutants"]


def test_the_page_has_totals_and_reasons() -> None:
    """The page counts by module, and shows who is alive and why."""
    text = page([*killed(3), ALIVE], KNOWN)
    assert "| `cdcd.a` | 3 | 3 | 0 | 0.0% |" in text
    assert "| `cdcd.sink.merge` | 1 | 0 | 1 | 100.0% |" in text
    assert "| all | 4 | 3 | 1 | 25.0% |" in text
    assert "It is the same.\n\n```diff\n- a = 1\n+ a = 2\n```" in text


def test_the_list_is_of_code_that_is_there() -> None:
    """Each reason in the list is of a function of a module that is changed."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    texts = {
        path.removesuffix(".py").replace("/", "."): (ROOT / path).read_text()
        for path in settings["only_mutate"]
    }
    listed = Reasons.read(ROOT / "tests" / "mutants" / "survivors.toml").by_change
    assert all(reason.endswith(".") for reason in listed.values())
    for function, _ in listed:
        (text,) = [t for module, t in texts.items() if function.startswith(f"{module}.")]
        assert re.search(rf"def {function.rpartition('.')[2]}\b", text), function


def test_the_tests_that_judge_are_there() -> None:
    """Each test file that mutants are run against exists."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert all((ROOT / p).exists() for p in settings["pytest_add_cli_args_test_selection"])
