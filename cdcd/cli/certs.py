"""Try: `cdcd certs`, a certificate authority of one's own and certificates by it."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cdcd.cli.look import json_option
from cdcd.cli.show import console
from cdcd.config.settings import LogSettings
from cdcd.model.errors import ConfigurationError
from cdcd.ops import logs
from cdcd.ops.audit import audit

if TYPE_CHECKING:
    from cdcd.ops.certificates import Pair

NAMES = ("cdcd", "scylla", "kafka", "registry", "postgres", "vault")
HOSTS = ("localhost", "127.0.0.1", "::1")

_AUTHORITY = "ca"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


@click.command(short_help="Make a development CA and certificates.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"Whose certificate; repeatable. None: {', '.join(NAMES)}.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help=f"A name or address in it, beside NAME and {', '.join(HOSTS)}; repeatable.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 3650, min_open=True),
    default=30.0,
    show_default=True,
    help="How long certificates are good for.",
)
@json_option
def certs(
    folder: Path,
    names: tuple[str, ...],
    hosts: tuple[str, ...],
    days: float,
    as_json: bool,
) -> None:
    """Make certificates for trying TLS, signed by an authority of FOLDER's own.

    FOLDER gets NAME.pem and NAME.key for each, and ca.pem and ca.key once. Where they
    are there, the authority is kept and the certificates are made anew, which is how
    to see cdcd take over new ones. For production use the authority that you have.
    """
    wanted = names or NAMES
    wrong = [name for name in wanted if not _NAME.fullmatch(name) or name == _AUTHORITY]
    if wrong:
        raise ConfigurationError(f"{wrong[0]} cannot be a certificate's name", "see --name")
    try:
        made = _make(folder, wanted, hosts, days)
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{folder}: no authority can be made of ca.pem and ca.key ({error})",
            "take another folder",
        ) from error
    # Not with the settings: what they name may be what is made here.
    logs.configure(LogSettings())
    audit("certs", "", folder=str(folder), names=list(wanted))
    if as_json:
        click.echo(json.dumps({name: str(file) for name, file in made.items()}, indent=2))
        return
    for name, file in made.items():
        console().print(f"{name}: {file}", soft_wrap=True)


def _make(
    folder: Path, names: tuple[str, ...], hosts: tuple[str, ...], days: float
) -> dict[str, Path]:
    """The certificates' files, by name."""
    from cdcd.ops.certificates import Pair, make_authority, make_certificate  # noqa: PLC0415  --help

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = _files(folder, _AUTHORITY)
    if files[0].exists():
        authority = Pair(files[0].read_bytes(), files[1].read_bytes())
    else:
        authority = make_authority("cdcd development CA", 3650)
        _write(folder, _AUTHORITY, authority)
    made = {_AUTHORITY: files[0]}
    for name in dict.fromkeys(names):
        valid = dict.fromkeys((name, *HOSTS, *hosts))
        _write(folder, name, make_certificate(authority, name, list(valid), days))
        made[name] = _files(folder, name)[0]
    return made


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}.key"


def _write(folder: Path, name: str, pair: "Pair") -> None:
    """Both files, the key first and for its owner only, neither half written at any time."""
    certificate, key = _files(folder, name)
    for file, content, mode in ((key, pair.key, 0o600), (certificate, pair.certificate, 0o644)):
        part = file.with_name(f".{file.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as to:
            to.write(content)
        part.replace(file)
