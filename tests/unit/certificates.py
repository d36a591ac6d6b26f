"""Certificates for tests, made as `cdcd certs` makes them."""

from dataclasses import dataclass
from pathlib import Path

from cdcd.ops.certificates import Pair, make_authority, make_certificate


@dataclass(frozen=True)
class Authority:
    """An authority in a folder; `name.pem`, `name.key` are the files of what it signs."""

    folder: Path
    pair: Pair

    @property
    def ca(self) -> Path:
        """Its own certificate."""
        return self.folder / "ca.pem"

    def issue(self, name: str, hosts: tuple[str, ...] = ("127.0.0.1",), days: float = 1) -> None:
        """Make a certificate, in the place of the one before."""
        made = make_certificate(self.pair, name, hosts, days)
        (self.folder / f"{name}.key").write_bytes(made.key)
        (self.folder / f"{name}.pem").write_bytes(made.certificate)

    def files(self, name: str) -> dict[str, Path]:
        """Settings that show a certificate of the authority and trust what else it signed."""
        return {
            "ca_file": self.ca,
            "cert_file": self.folder / f"{name}.pem",
            "key_file": self.folder / f"{name}.key",
        }


def new_authority(folder: Path) -> Authority:
    """Another authority, which nobody knows."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Authority(folder, make_authority("test", 1))
    made.ca.write_bytes(made.pair.certificate)
    return made
