"""`cdcd certs`: files that servers and clients take, and what it keeps."""

import json
import ssl
from pathlib import Path

import pytest

from cdcd.cli.certs import NAMES
from cdcd.cli.main import main
from cdcd.ops.certificates import ends_of

Capture = pytest.CaptureFixture[str]


def _chain(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def test_everyone_gets_a_certificate(tmp_path: Path, capsys: Capture) -> None:
    """Each server of the stack and cdcd get a certificate with its key, and all are listed."""
    assert main(["certs", str(tmp_path / "new"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert list(made) == ["ca", *NAMES]
    for name in NAMES:
        _chain(tmp_path / "new", name)


def test_keys_are_private(tmp_path: Path) -> None:
    """Keys, that of the authority too, and the folder are for their owner only."""
    main(["certs", str(tmp_path / "new"), "--name", "cdcd"])
    private = [tmp_path / "new", *(tmp_path / "new" / f"{name}.key" for name in ("ca", "cdcd"))]
    assert [f.stat().st_mode & 0o077 for f in private] == [0, 0, 0]


def test_the_authority_is_kept(tmp_path: Path) -> None:
    """The second time certificates are others, by the same authority."""
    main(["certs", str(tmp_path), "--name", "cdcd"])
    before = [(tmp_path / f).read_bytes() for f in ("ca.pem", "cdcd.pem")]
    main(["certs", str(tmp_path), "--name", "cdcd", "--days", "1"])
    after = [(tmp_path / f).read_bytes() for f in ("ca.pem", "cdcd.pem")]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    (old,), (new,) = ends_of(before[1]), ends_of(after[1])
    assert new < old


def test_hosts_are_in_the_certificate(tmp_path: Path) -> None:
    """A certificate names its NAME, the loopback, and each --host."""
    main(
        ["certs", str(tmp_path), "--name", "kafka", "--host", "k.example.com", "--host", "10.0.0.7"]
    )
    from cryptography import x509  # noqa: PLC0415  a second reader, for this test alone

    certificate = x509.load_pem_x509_certificate((tmp_path / "kafka.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kafka", "localhost", "k.example.com"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == [
        "127.0.0.1",
        "::1",
        "10.0.0.7",
    ]


@pytest.mark.parametrize("name", ["ca", "a/b", ".."])
def test_names_that_are_no_names(tmp_path: Path, capsys: Capture, name: str) -> None:
    """A name that would be another file is refused, and nothing is made."""
    assert main(["certs", str(tmp_path / "new"), "--name", name]) == 2
    assert "cannot be a certificate's name" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_half_an_authority_is_refused(tmp_path: Path, capsys: Capture) -> None:
    """A folder whose authority has no key is refused in two lines."""
    main(["certs", str(tmp_path), "--name", "cdcd"])
    (tmp_path / "ca.key").unlink()
    capsys.readouterr()
    assert main(["certs", str(tmp_path), "--name", "cdcd"]) == 2
    assert "ca.key: No such file" in capsys.readouterr().err
