"""What is handed out: the archives, an installation from them, and what the image is built by."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from cdcd import __version__

pytestmark = pytest.mark.skipif(
    find_spec("pipx") is None or find_spec("build") is None,
    reason="build and pipx are not installed",
)

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = ROOT / "deploy" / "image" / "Dockerfile"


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command prints; it fails the test when the command fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source archive; the wheel is built from the latter."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def test_archives_hold_the_code_and_nothing_else(archives: Path) -> None:
    """The wheel has every file of the package that is kept in git, and its licence; the source
    archive has the documents too.
    """
    kept = set(_run("git", "ls-files", "cdcd", cwd=ROOT).split())
    with zipfile.ZipFile(archives / f"cdcd-{__version__}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    info = f"cdcd-{__version__}.dist-info/"
    assert {n for n in names if not n.startswith(info)} >= kept
    assert {n.split("/")[0] + "/" for n in names} == {"cdcd/", info}
    assert f"{info}licenses/LICENSE" in names
    with tarfile.open(archives / f"cdcd-{__version__}.tar.gz") as source:
        held = {n.split("/", 1)[1] for n in source.getnames()}
    assert held >= kept | {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"}
    assert {n.split("/")[0] for n in held} & {"tests", "docs", "deploy"} == set()


@pytest.mark.timeout(600)
def test_pipx_installs_it(archives: Path, tmp_path: Path) -> None:
    """Installed by pipx at the versions that the image has, the command starts outside of the clone
    with all that it needs.
    """
    lock = (IMAGE.parent / "requirements.txt").read_text()
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"^(\w[^\\\n]*)", lock, re.MULTILINE)))
    wheel = archives / f"cdcd-{__version__}-py3-none-any.whl"
    pipx = [sys.executable, "-m", "pipx", "install", "--python", sys.executable]
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    _run(*pipx, f"--pip-args=--constraint {constraints}", wheel, cwd=tmp_path, **places)
    command = tmp_path / "bin" / "cdcd"
    assert _run(command, "--version", cwd=tmp_path) == f"cdcd {__version__}\n"
    # It says what is away, for which it has to load every client library.
    nowhere = {
        "CDCD_SCYLLA__PORT": "1",
        "CDCD_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CDCD_KAFKA__REQUEST_TIMEOUT_SECONDS": "1",
        "CDCD_REGISTRY__URL": "http://127.0.0.1:1",
        "CDCD_POSTGRES__DSN": "postgresql://127.0.0.1:1/x",
    }
    done = subprocess.run(
        [command, "check", "--json"],
        cwd=tmp_path,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert len(json.loads(done.stdout)["checks"]) > 4


def _steps() -> Iterator[tuple[str, str]]:
    """The build stage's instructions and what they say, one after the other."""
    stage = IMAGE.read_text().split("FROM ")[1]
    text = re.sub(r"^#.*\n", "", stage, flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines()[1:]:
        if line.strip():
            instruction, _, rest = line.partition(" ")
            yield instruction, rest


@pytest.mark.timeout(900)
def test_the_image_can_be_built(tmp_path: Path) -> None:
    """What the Dockerfile runs works: exactly what is pinned is installed, with its hashes, and the
    list of parts that is left has cdcd and every direct dependency of it.
    """
    source, opt = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    for instruction, rest in _steps():
        if instruction == "COPY":
            *given, into = rest.split()
            for name in given:
                place = source / into / (Path(name).name if into == "./" else "")
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, place)
                else:
                    shutil.copy(ROOT / name, place)
        elif instruction == "RUN":
            script = rest.replace("/opt/", f"{opt}/")
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            _run("/bin/sh", "-euc", script, cwd=source, PATH=path)
    listed = json.loads((opt / "cdcd" / "sbom.cdx.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "cdcd"
    parts = {(canonicalize_name(part["name"]), part["version"]) for part in listed["components"]}
    lock = (IMAGE.parent / "requirements.txt").read_text()
    pinned = set(re.findall(r"^([\w.-]+)==([^ ;]+)", lock, re.MULTILINE))
    assert parts - pinned <= {("cdcd", __version__)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    needed = {re.split(r"[\[>=]", line)[0] for line in wanted}
    assert needed <= {name for name, _ in parts}
