"""The authority behind --tls: an X.509 authority that can vouch for the names of this machine only, and what it signs.

A person trusts it once. Whoever steals its key must not be able to be their bank: it is constrained to the names that
the app answers to (RFC 5280, section 4.2.1.10), to servers, and to ten years. Loaded only when one has to be made.
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.app_name import NAME

VALID = timedelta(days=3650)
# A clock that is somewhat slow must not find a certificate too young.
YOUNGER = timedelta(days=1)
MAY_SIGN_HANDSHAKES = {"digital_signature": True, "key_cert_sign": False, "crl_sign": False}
MAY_SIGN_CERTIFICATES = {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}


class Authority(NamedTuple):
    """The certificate of an authority, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, names: Iterable[str]) -> "Authority":
        """A new one that may vouch for these names and addresses alone. Raises ValueError for what is none."""
        key = ec.generate_private_key(ec.SECP256R1())
        begin = datetime.now(UTC) - YOUNGER
        # Its name differs from that of any other, or a browser that trusts both would try the wrong key.
        subject = _name(f"Certificates of this machine, {secrets.token_hex(4)}")
        builder = _builder(subject, subject, key, begin, begin + VALID, MAY_SIGN_CERTIFICATES)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        permitted = [_permitted(name) for name in names]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, pem: bytes) -> "Authority":
        """That of a file with its key and its certificate. Raises ValueError where it has not both."""
        key = load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("This is not the kind of key that is made here.")
        return cls(x509.load_pem_x509_certificate(pem), key)

    def pem(self) -> bytes:
        """Its certificate, which people trust."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        """Its key."""
        return _pem(self.key)

    def may_sign_for(self, names: Iterable[str], until: datetime) -> bool:
        """Whether it is constrained, and to no less than these names, and valid until then."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return False
        permitted = found.permitted_subtrees or []
        return self.certificate.not_valid_after_utc >= until and all(_permitted(name) in permitted for name in names)

    def sign(self, names: list[str], begin: datetime, end: datetime) -> bytes:
        """A key and its certificate for these names, as one text. Raises ValueError for what is no name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name("This machine")
        builder = _builder(subject, self.certificate.subject, key, begin, end, MAY_SIGN_HANDSHAKES)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        signed = builder.add_extension(by, critical=False).sign(self.key, hashes.SHA256())
        return _pem(key) + signed.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
    uses: dict[str, bool],
) -> x509.CertificateBuilder:
    never = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    usage = x509.KeyUsage(**uses, **never, encipher_only=False, decipher_only=False)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _name(unit: str) -> x509.Name:
    parts = {NameOID.ORGANIZATION_NAME: NAME, NameOID.ORGANIZATIONAL_UNIT_NAME: unit}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _general(name: str) -> x509.GeneralName:
    """A name or an address, as a certificate names it. Raises ValueError for what is neither."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if len(name) > 253 or not all(0 < len(label) < 64 for label in name.split(".")):
        raise ValueError(f"“{name}” is no name of a machine")
    return x509.DNSName(name)


def _permitted(name: str) -> x509.GeneralName:
    """The same, as a constraint names it: a network of one address, or a name and those below it."""
    general = _general(name)
    return x509.IPAddress(ip_network(general.value)) if isinstance(general, x509.IPAddress) else general


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
