"""Certificates for tests of TLS: authorities, and certificates signed by them."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority whose own certificate is `NAME.pem` in a folder."""

    folder: Path
    name: x509.Name
    key: rsa.RSAPrivateKey

    @classmethod
    def in_folder(cls, folder: Path, name: str) -> Self:
        """Make a new authority and write its certificate."""
        key = rsa.generate_private_key(65_537, 2_048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        authority = cls(folder, subject, key)
        authority._sign(name, subject, key, x509.BasicConstraints(ca=True, path_length=None))
        return authority

    def issue(self, name: str, host: str, *, days: int = 1) -> None:
        """Write `NAME.pem`, a certificate for `host`, and its key `NAME.key`; one of negative `days` has expired."""
        key = rsa.generate_private_key(65_537, 2_048)
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._sign(name, subject, key, x509.SubjectAlternativeName([alternative]), days)

    def _sign(
        self, name: str, subject: x509.Name, key: rsa.RSAPrivateKey, extension: x509.ExtensionType, days: int = 1
    ) -> None:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self.key, hashes.SHA256())
        )
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
