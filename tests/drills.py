"""Every kind of drill on the local stack, in full: `make drills`.

    python -m tests.drills [KIND...]

CDCD_DRILL_ROUNDS sets how many rounds each kind has, CDCD_DRILL_KILLS those of the kill drill.
Starts the local stack if need be. What each has left is judged by the independent checker too, and
taken away where nothing was found. Writes `.local/drills.json` and the table in docs/DRILLS.md,
where kinds that are not named stay as they were. Ends with 1, and leaves the page, unless nothing
was lost or doubled, and a killed worker was back within five seconds 95 times of 100.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cdcd.drill.kinds import KINDS
from tests import stack as local
from tests.scenario import drilled
from tests.scenario.conftest import connected

ROUNDS = int(os.environ.get("CDCD_DRILL_ROUNDS", "10"))
# A partition drill has each trouble with each server in 16 rounds.
RECOVERY_P95_SECONDS_MAX = {"kill": 5.0}
OWN_ROUNDS = {"kill": int(os.environ.get("CDCD_DRILL_KILLS", "200")), "partition": 16}
RESULTS = local.LOCAL.with_name("drills.json")
PAGE = local.ROOT / "docs" / "DRILLS.md"
_KIND = re.compile(r"^\| `(\w+)` \|")
_TABLE = re.compile(r"(?<=<!-- made by make drills -->\n).*?(?=<!-- end -->)", re.DOTALL)
_HEAD = (
    "| drill | rounds | changes | lost | twice | half within | 95 of 100 within | all within | on |"
)


def hold(stack: local.Stack, kind: str) -> dict[str, Any]:
    """Hold one; what it prints meanwhile is shown."""
    file = local.file()
    config = file.with_name("cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", str(config), "drill", kind]
    rounds = str(OWN_ROUNDS.get(kind, ROUNDS))
    command += ["--stack", str(file), "--rounds", rounds, "--yes", "--keep", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if not done.stdout:
        nothing = dict.fromkeys(("rounds", "changes", "lost", "duplicated"), 0)
        times = dict.fromkeys(f"recovery_{share}_seconds" for share in ("p50", "p95", "max"))
        why = f"exit code {done.returncode}"
        return {"drill": kind, **nothing, "different": [], **times, "stuck": why, "checker": []}
    found: dict[str, Any] = json.loads(done.stdout)
    with connected(stack) as (_, session):
        found["checker"] = drilled.wrong(stack, session, found)
    if is_clean(found):
        drilled.sweep(config, found)
    return found


def is_clean(found: dict[str, Any]) -> bool:
    """Whether nothing was lost, doubled or different, and everything came back."""
    wrong = ("stuck", "lost", "duplicated", "different", "checker")
    return not any(found[what] for what in wrong)


def is_slow(found: dict[str, Any]) -> bool:
    """Whether its recoveries took longer than they may."""
    limit = RECOVERY_P95_SECONDS_MAX.get(found["drill"])
    return limit is not None and (found["recovery_p95_seconds"] or 0.0) >= limit


def row(found: dict[str, Any]) -> str:
    """A result as docs/DRILLS.md has it."""
    seconds = [f"{found[f'recovery_{share}_seconds']} s" for share in ("p50", "p95", "max")]
    counts = [found[n] for n in ("rounds", "changes", "lost", "duplicated")]
    cells = f"`{found['drill']}`", *counts, *seconds, found["on"]
    return "| " + " | ".join(map(str, cells)) + " |"


def paged(page: str, results: Sequence[dict[str, Any]]) -> str:
    """The page with these results; those of other kinds stay."""
    (before,) = _TABLE.findall(page)
    rows = {kind: line for line in before.splitlines() for kind in _KIND.findall(line)}
    rows |= {found["drill"]: row(found) for found in results}
    lines = [_HEAD, "|---|" + "---:|" * 8, *(rows[kind] for kind in KINDS if kind in rows)]
    return _TABLE.sub(lambda _: "\n".join(lines) + "\n", page)


def main(kinds: Sequence[str]) -> int:
    """Hold them one after the other; gives the exit code."""
    stack = local.load()
    before = json.loads(RESULTS.read_text()) if kinds and RESULTS.exists() else []
    found_of = {found["drill"]: found for found in before}
    for kind in kinds or KINDS:
        print(f"==> {kind}: {KINDS[kind].does}", file=sys.stderr, flush=True)
        found_of[kind] = hold(stack, kind) | {"on": datetime.now(UTC).date().isoformat()}
        # After each, so that an interrupted run has said what it knows.
        RESULTS.write_text(json.dumps(list(found_of.values()), indent=2) + "\n")
    results = [found_of[kind] for kind in KINDS if kind in found_of]
    bad = [found for found in results if not is_clean(found) or is_slow(found)]
    if not bad:
        PAGE.write_text(paged(PAGE.read_text(), results))
        print(*map(row, results), sep="\n")
    for found in bad:
        print(f"{found['drill']}: {found}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
