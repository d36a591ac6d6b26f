"""`make mutants`: changes the code that computes, one place at a time, and runs its unit tests.

Writes docs/MUTANTS.md. Ends with 1 when too many changes went unseen, or one without a reason in
`survivors.toml`. With `report` as argument it only looks at the last run.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutants.report import Found, Reasons, page, parsed, problems

ROOT = Path(__file__).resolve().parent.parent.parent
LOG = ROOT / ".local" / "mutants.log"
MUTMUT = Path(sys.executable).parent / "mutmut"


def main() -> int:
    """Run, and judge; the exit code."""
    if sys.argv[1:] != ["report"]:
        _run()
    found = _found()
    reasons = Reasons.read(ROOT / "tests" / "mutants" / "survivors.toml")
    (ROOT / "docs" / "MUTANTS.md").write_text(page(found, reasons))
    wrong = problems(found, reasons)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    alive = sum(m.is_alive for m in found)
    sys.stdout.write(f"{alive} of {len(found)} mutants are alive; docs/MUTANTS.md lists them\n")
    return 1 if wrong else 0


def _run() -> None:
    # What is left of another run may be of other tests.
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    LOG.parent.mkdir(exist_ok=True)
    children = os.environ.get("CDCD_MUTANTS_CHILDREN", str(os.cpu_count() or 1))
    command = [str(MUTMUT), "run", "--max-children", children]
    sys.stdout.write(f"running; how far it is: tail -c 200 {LOG.relative_to(ROOT)}\n")
    with LOG.open("w") as log:
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)


def _found() -> list[Found]:
    lines = _said("results", "--all", "true").splitlines()
    mutants = [parsed(line) for line in lines if "__mutmut_" in line]
    return [Found(m, _said("show", m.name) if m.is_alive else "") for m in mutants]


def _said(*arguments: str) -> str:
    command = [str(MUTMUT), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
