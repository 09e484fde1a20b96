"""Who this keeper is, how it proves it, and by which keys it knows its partners.

A keeper is named by an identity that never changes, and proves it by a key that may: `HOME/id` and `HOME/keys`. Its
certificate is signed by itself and says nothing; what counts is its fingerprint, which a partner has written down
(pinned) when the bond was tied. So there is no authority, no host name and no date to check: clocks differ, addresses
change, and a key is good until its owner changes it.

All of it lies in files and nothing is remembered, so the keeper and its carrier see the same at any moment. Each file
is written whole or not at all. OpenSSL is loaded with the first key: a keeper without a bond stays small.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from goldthread.errors import KeeperError, PartnerError
from goldthread.local import Home
from goldthread.names import KeeperId
from goldthread.wire.scrutiny import check_keeper_id, printable

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from OpenSSL import SSL, crypto

__all__ = ["CUT_THERE", "Keys", "Partner", "certificate_at", "fingerprint_at", "fingerprint_of", "write_whole"]

CUT_THERE: Final = "alert decode error"
"""What an engine says to the other side, which may be heard still, when what it hears ends in the midst of it."""
_ID_BYTES: Final = 16
_NAME_LENGTH: Final = 100
_BEGIN: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END: Final = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)
_CERTIFICATE_BYTES_MOST: Final = 4096
"""One of a P-256 key has about 400."""


class Partner(msgspec.Struct, frozen=True):
    """What is kept of a keeper with which this one has a bond."""

    keeper: KeeperId
    name: str
    """For people."""
    addresses: tuple[str, ...]
    """Where it was last known to listen, `host:port`, best first."""
    certificates: tuple[bytes, ...]
    """DER. A second one is the key that it is about to change to."""

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        return tuple(fingerprint_of(certificate) for certificate in self.certificates)


_decode_partner = msgspec.json.Decoder(Partner).decode


def fingerprint_of(certificate: bytes) -> bytes:
    """SHA-256 of a certificate in DER."""
    return hashlib.sha256(certificate).digest()


def certificate_at(connection: SSL.Connection) -> bytes:
    """In DER: what the other side has proved; the handshake is done."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        raise PartnerError("the other side has shown no certificate")
    return _der(certificate)


def fingerprint_at(connection: SSL.Connection) -> bytes:
    """Of the certificate that the other side has proved."""
    return fingerprint_of(certificate_at(connection))


def _no_stranger(fingerprint: bytes) -> bool:
    return False


class Keys:
    """The identity, the key and the pinned partners of the keeper of one home."""

    def __init__(self, home: Home, name: str = "") -> None:
        self.home = home
        self.name = printable(name or os.environ.get("GOLDTHREAD_NAME") or socket.gethostname() or "?")[:_NAME_LENGTH]
        """For people; not unique."""
        self.me = self._identity()

    # This keeper

    @property
    def certificate(self) -> bytes:
        """DER, of the key in use; the first call makes it."""
        return _der(self._pair()[1])

    @property
    def fingerprint(self) -> bytes:
        return fingerprint_of(self.certificate)

    def next_certificate(self) -> bytes:
        """That of the key that this keeper is about to change to; made where there is none yet."""
        return _der(_pair_at(self._next_key)[1])

    @property
    def renewing(self) -> bool:
        """Whether a next key waits for partners to know it."""
        return self._next_key.exists()

    def change_to_next(self) -> None:
        """The next key is the one in use from now on; the old one is gone."""
        self._next_key.replace(self._key)

    # Partners

    def partners(self) -> list[Partner]:
        """Without those whose file is damaged."""
        return [partner for path in self._files() if (partner := _read_partner(path)) is not None]

    def damaged(self) -> list[Path]:
        """Files of partners that can no more be read: those bonds must be tied anew."""
        return [path for path in self._files() if _read_partner(path) is None]

    def partner(self, keeper: KeeperId) -> Partner | None:
        return _read_partner(self._partner_file(keeper))

    def pin(self, partner: Partner) -> None:
        """Know this partner from now on, in place of what was known of it.

        Raises `PartnerError` where what it says of itself cannot be right.
        """
        if not partner.certificates or max(map(len, partner.certificates)) > _CERTIFICATE_BYTES_MOST:
            raise PartnerError(f"{partner.name} has no certificate that could be pinned")
        write_whole(self._partner_file(partner.keeper), msgspec.json.encode(partner))

    def unpin(self, keeper: KeeperId) -> None:
        self._partner_file(keeper).unlink(missing_ok=True)

    def partner_of(self, fingerprint: bytes) -> Partner | None:
        """Whose certificate this is; None where no partner's."""
        return next((partner for partner in self.partners() if fingerprint in partner.fingerprints), None)

    # TLS

    def context(self, *, server: bool, stranger: Callable[[bytes], bool] = _no_stranger) -> SSL.Context:
        """For connections where both sides prove their keys: TLS 1.3, and no side but one that is pinned gets through.

        `stranger` is asked about other fingerprints.
        """
        from OpenSSL import SSL

        key, certificate = self._pair()
        context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # A session taken up again would prove no key.
        context.set_options(SSL.OP_NO_TICKET)
        context.use_certificate(certificate)
        context.use_privatekey(key)

        def known(_: SSL.Connection, shown: crypto.X509, error: int, depth: int, good: int) -> bool:
            if depth > 0:
                return False
            fingerprint = bytes.fromhex(shown.digest("sha256").decode().replace(":", ""))
            return self.partner_of(fingerprint) is not None or stranger(fingerprint)

        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, known)
        return context

    # Files

    @property
    def _key(self) -> Path:
        return self.home.path / "keys" / "key.pem"

    @property
    def _next_key(self) -> Path:
        return self.home.path / "keys" / "next.pem"

    @property
    def _partners(self) -> Path:
        return self.home.path / "partners"

    def _files(self) -> list[Path]:
        return sorted(self._partners.glob("[!.]*.json"))

    def _partner_file(self, keeper: KeeperId) -> Path:
        return self._partners / f"{check_keeper_id(keeper)}.json"

    def _identity(self) -> KeeperId:
        path = self.home.path / "id"
        if not path.exists():
            write_whole(path, f"{secrets.token_hex(_ID_BYTES)}\n".encode())
        try:
            return check_keeper_id(path.read_text("ascii", "replace").strip())
        except PartnerError as error:
            raise KeeperError(
                f"{path}: {error}", hint="restore the file, or remove it and tie the bonds anew"
            ) from None

    def _pair(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        return _pair_at(self._key)


def _pair_at(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The key and certificate in this file, which is made where there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not path.exists():
        write_whole(path, _new_pair())
    text = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise _damaged(path)
    return key, certificate


def _damaged(path: Path) -> KeeperError:
    return KeeperError(
        f"{path} holds no key with its certificate",
        hint="restore the file; or remove it, and tie the bonds anew: partners know this keeper by that key",
    )


def _new_pair() -> bytes:
    """A key and a certificate signed with it, in PEM, one after the other."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "goldthread keeper")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _read_partner(path: Path) -> Partner | None:
    try:
        return _decode_partner(path.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file for its user alone; after a crash it is whole or not there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeeperError(f"{path} cannot be written: {error.strerror}") from error
