"""The unit files, by systemd's own tools; nothing is started."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.*"))
SERVICES = [u for u in UNITS if u.suffix == ".service"]
# `systemd-analyze security` calls what is exposed more than this "medium" or worse; times ten.
EXPOSURE_MAX = 20

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def _installed(unit: Path, folder: Path) -> Path:
    """The unit with a program that is there: verifying looks for it."""
    text = unit.read_text().replace("/opt/cdcd/bin/cdcd", "/bin/true")
    name = unit.name.replace("@.", "@one.")
    (folder / name).write_text(text)
    return folder / name


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    """Systemd finds nothing to say about the unit, together with the others."""
    installed = {u: _installed(u, tmp_path) for u in UNITS}
    done = _analyze("verify", "--recursive-errors=no", str(installed[unit]))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda u: u.name)
def test_the_service_is_in_a_sandbox(unit: Path, tmp_path: Path) -> None:
    """Systemd's own judgement of what the service could reach is good."""
    done = _analyze(
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_MAX}",
        str(_installed(unit, tmp_path)),
    )
    assert done.returncode == 0, done.stdout


def test_a_wrong_option_is_seen(tmp_path: Path) -> None:
    """The check fails for a unit with an option that systemd does not know."""
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nSandbox=yes\n")
    assert "Sandbox" in _analyze("verify", str(wrong)).stderr
