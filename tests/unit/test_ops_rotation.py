"""Certificate files that change: who begins anew, and who does not."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cdcd.config.settings import Settings
from cdcd.model.errors import ConfigurationError
from cdcd.ops.rotation import Rotation, require
from tests.unit.certificates import Authority, new_authority

DAY = 86_400


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority with certificates of two links."""
    made = new_authority(tmp_path)
    for name in ("kafka", "postgres", "http"):
        made.issue(name, days=2)
    return made


def _settings(authority: Authority, *links: str) -> Settings:
    sections: dict[str, Any] = {
        link: {"tls": {"enabled": True, **authority.files(link)}} for link in links
    }
    return Settings.model_validate({"certificate_refresh_seconds": 0.01, **sections})


def _nobody(_: Mapping[str, float]) -> None:
    pass


async def test_a_new_certificate_begins_anew(authority: Authority) -> None:
    """A certificate of a link whose clients read it once ends the waiting."""
    rotation = Rotation(_settings(authority, "kafka"), _nobody)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(rotation.changed())
        authority.issue("kafka")


@pytest.mark.parametrize("link", ["postgres", "http"])
async def test_others_take_it_over_in_place(authority: Authority, link: str) -> None:
    """A certificate of PostgreSQL's pool or the port is reported, and nothing begins anew."""
    ends: list[float] = []
    reported = asyncio.Event()

    def report(found: Mapping[str, float]) -> None:
        ends.append(found[f"{link}.tls.cert_file"])
        if ends[-1] < ends[0] - DAY / 2:
            reported.set()

    rotation = Rotation(_settings(authority, "kafka", link), report)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(rotation.changed())
        authority.issue(link, days=1)
        await reported.wait()
        assert not waiting.done()
        authority.issue("kafka")


async def test_half_of_a_pair_is_waited_for(authority: Authority) -> None:
    """A new key without its certificate is not begun with; with it, it is."""
    rotation = Rotation(_settings(authority, "kafka"), _nobody)
    certificate, key = authority.folder / "kafka.pem", authority.folder / "kafka.key"
    old = key.read_bytes()
    authority.issue("kafka")
    new = key.read_bytes()
    key.write_bytes(old)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(rotation.changed())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.shield(waiting)
        key.write_bytes(new)
    assert certificate.exists()


def test_ends_are_reported(authority: Authority) -> None:
    """Each certificate's end is known by its setting, and keys have none."""
    reports: list[Mapping[str, float]] = []
    Rotation(_settings(authority, "kafka", "http"), reports.append)
    files = {"kafka.tls.ca_file", "kafka.tls.cert_file", "http.tls.ca_file", "http.tls.cert_file"}
    assert set(reports[0]) == files
    assert reports[0]["kafka.tls.cert_file"] - reports[0]["kafka.tls.ca_file"] == pytest.approx(
        DAY, abs=60
    )


@pytest.mark.parametrize("link", ["scylla", "kafka", "registry", "postgres", "vault"])
def test_missing_files_end_the_start(authority: Authority, link: str) -> None:
    """Before anything starts the files of every link are looked at."""
    authority.issue(link)
    sections: dict[str, Any] = {link: {"tls": {"enabled": True, **authority.files(link)}}}
    if link in {"registry", "vault"}:
        sections[link]["url"] = "https://127.0.0.1:1"
    settings = Settings.model_validate(sections)
    require(settings)
    (authority.folder / f"{link}.pem").unlink()
    with pytest.raises(ConfigurationError, match=rf"{link}\.tls\.cert_file"):
        require(settings)


@pytest.mark.parametrize("link", ["registry", "vault"])
def test_plain_addresses_are_no_tls(link: str) -> None:
    """TLS for an address that is not https is a wrong setting."""
    with pytest.raises(ValidationError, match="https"):
        Settings.model_validate({link: {"url": "http://h", "tls": {"enabled": True}}})


@pytest.mark.parametrize(
    "given",
    [
        {"mechanism": "SCRAM-SHA-512", "username": "u"},
        {"mechanism": "PLAIN", "password": "p"},
        {"mechanism": "OAUTHBEARER", "client_id": "c", "client_secret": "s"},
    ],
)
def test_half_a_login_is_refused(given: dict[str, str]) -> None:
    """A mechanism without what it needs is a wrong setting."""
    with pytest.raises(ValidationError, match="needs"):
        Settings.model_validate({"kafka": {"sasl": given}})
