"""TLS for both sides: PEM texts that are checked before they are used.

gRPC opens no port, or reaches no server, where a text is wrong, and does not
say which.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import grpc

from deepfm_tf.errors import UserError

# What OpenSSL calls it: other numbers, or another kind of key.
_OTHER_KEY = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def client_credentials(
    roots: str | None, certificate: str | None = None, key: str | None = None
) -> grpc.ChannelCredentials:
    """What a client trusts, and what it shows a server that asks.

    Args:
        roots: str or None. The PEM file of the authorities to trust; None
            trusts the system's.
        certificate: str or None. The PEM file of the client's own
            certificate.
        key: str or None. The PEM file of its private key.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file that does not hold what it must.
    """
    trusted, shown, secret = (
        Path(path).read_bytes() if path else None
        for path in (roots, certificate, key)
    )
    if trusted is not None:
        check_certificates(trusted, str(roots))
    if shown is not None and secret is not None:
        check_certificates(shown, str(certificate))
        check_key(secret, shown, str(key), str(certificate))
    return grpc.ssl_channel_credentials(trusted, secret, shown)


def check_certificates(pem: bytes, name: str) -> None:
    """Raise a ValueError, which names the text, unless it holds certificates.

    Notes around them are fine.
    """
    try:
        # Bundles have notes in any language, which this call refuses.
        _context().load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise UserError(
            f"{name} must be certificates as PEM text, from '-----BEGIN "
            f"CERTIFICATE-----' on. Received: {len(pem)} bytes without one."
        ) from error


def check_key(
    key: bytes, certificate: bytes, name: str, certificate_name: str
) -> None:
    """Raise a ValueError, which names both, unless a key is a certificate's.

    Both are PEM texts.
    """
    # The call takes files alone; this one is in a folder of our own. Windows
    # opens no file a second time.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pem")
        file.write_bytes(certificate + b"\n" + key)
        try:
            # A password would be asked for on the terminal.
            _context().load_cert_chain(file, password="")
        except (ssl.SSLError, ValueError) as error:
            wanted = "a private key as PEM text, without a password"
            got = f"{len(key)} bytes that are none"
            if getattr(error, "reason", None) in _OTHER_KEY:
                wanted = f"the private key of {certificate_name}"
                got = "the key of another certificate"
            raise UserError(
                f"{name} must be {wanted}. Received: {got}."
            ) from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Whether a key is long enough is for gRPC to say.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
