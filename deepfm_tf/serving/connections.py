"""Ports, opened with errors that help and closed without losing a call; TLS.

PEM texts are checked before they are used: gRPC opens no port, or reaches no
server, where one is wrong, and does not say which.
"""

from __future__ import annotations

import errno
import itertools
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc

from deepfm_tf.errors import UserError

# A client that waits for its answers sends the next call within this time.
QUIET_SECONDS = 0.25
# One that does not wait never pauses: from here on it is to be refused, and
# after that the port closes all the same.
ANSWER_SECONDS, ANSWER_CALLS = 0.5, 512
MOST_SECONDS = 2.0
# What OpenSSL calls it: other numbers, or another kind of key.
_OTHER_KEY = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class Drain:
    """Tells when no more calls are on their way.

    A port that closes drops what has arrived and is not yet read: neither
    gRPC nor a TCP listener gives it out any more, and its clients see a
    cancelled call or a reset connection. So a server that stops answers
    nothing for a moment and goes on reading. Each client that waits for an
    answer then sends nothing more, and once no call comes, the port can be
    closed and the answers be sent.

    Not under a lock: each attribute is one assignment. `has_begun` tells
    whether answers are to be held back.

    Args:
        quiet_seconds: float. Without a call or an answer.
        most_seconds: float. After which the port is closed all the same.
    """

    def __init__(
        self,
        quiet_seconds: float = QUIET_SECONDS,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self.has_begun = False
        self._quiet_seconds = quiet_seconds
        self._most_seconds = most_seconds
        self._last_traffic = self._begin = 0.0
        self._calls = itertools.count(1)

    def note_call(self) -> bool:
        """A call has come; whether to answer it, and not to refuse it."""
        now = self._last_traffic = time.monotonic()
        is_soon = now < self._begin + ANSWER_SECONDS
        return not self.has_begun or (
            next(self._calls) <= ANSWER_CALLS and is_soon
        )

    def note_answer(self) -> None:
        """An answer goes out, and may bring the next call."""
        self._last_traffic = time.monotonic()

    def longest_hold(self, seconds_to_deadline: float | None) -> float:
        """How long an answer may wait, whose client waits no longer than that.

        A short deadline makes the moment without calls shorter as well.
        """
        left = max(seconds_to_deadline or 0.0, 0.0)
        if seconds_to_deadline is None:
            left = 4 * self._most_seconds
        self._quiet_seconds = min(self._quiet_seconds, left / 4)
        return min(left / 2, 2 * self._most_seconds)

    def begin(self) -> None:
        """Hold answers back from now on."""
        self._begin = time.monotonic()
        self.has_begun = True

    def seconds_left(self) -> float:
        """Until the port may be closed, as it looks now; 0 when it may."""
        end = min(
            self._last_traffic + self._quiet_seconds,
            self._begin + self._most_seconds,
        )
        return max(end - time.monotonic(), 0.0)


def bind(port: int, flag: str) -> socket.socket:
    """A socket bound to a TCP port on all interfaces, not listening.

    Port 0 picks a free one. A ValueError where the port is taken or not
    allowed names the flag that chose it.
    """
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol
    # is named; an answer would else wait 40 ms for the client's ACK.
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("0.0.0.0", port))
    except OSError as error:
        bound.close()
        is_taken = error.errno == errno.EADDRINUSE
        why = "another server has it" if is_taken else error.strerror
        raise UserError(
            f"{flag} must be a port that is free. Received: {port} ({why}). "
            f"Stop that server, or choose another port with {flag}."
        ) from error
    return bound


def client_credentials(
    roots: str | None, certificate: str | None = None, key: str | None = None
) -> grpc.ChannelCredentials:
    """What a client trusts, and what it shows a server that asks.

    All are PEM files: of the authorities to trust (None trusts the system's),
    of the client's own certificate and of its private key. A ValueError names
    the file that does not hold what it must.
    """
    trusted, shown, secret = (
        Path(path).read_bytes() if path else None
        for path in (roots, certificate, key)
    )
    if trusted is not None:
        check_certificates(trusted, str(roots))
    if shown is not None and secret is not None:
        check_key(secret, shown, str(key), str(certificate))
    return grpc.ssl_channel_credentials(trusted, secret, shown)


def server_credentials(config: Any, name: str) -> grpc.ServerCredentials:
    """What a server's SSLConfig says.

    Raises:
        ValueError: names the file, and the field that must be otherwise.
    """
    if not (config.server_key and config.server_cert):
        raise UserError(
            "--ssl_config_file must hold server_key and server_cert, as PEM "
            f"text. Received: {name} without."
        )
    if config.client_verify and not config.custom_ca:
        raise UserError(
            "--ssl_config_file must hold custom_ca, the PEM text of the "
            "authority that signs the clients, where client_verify is true. "
            f"Received: {name} without."
        )
    certificate, key, trusted = (
        text.encode()
        for text in (config.server_cert, config.server_key, config.custom_ca)
    )
    check_key(
        key, certificate, f"server_key in {name}", f"server_cert in {name}"
    )
    if trusted:
        check_certificates(trusted, f"custom_ca in {name}")
    return grpc.ssl_server_credentials(
        [(key, certificate)], trusted or None, config.client_verify
    )


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
    """Raise a ValueError, which names it, for what is no key or certificate.

    Nor may the key be that of another certificate. Both are PEM texts.
    """
    check_certificates(certificate, certificate_name)
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
