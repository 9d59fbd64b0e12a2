"""Ports that are bound and closed, and PEM texts that are checked."""

import socket
import types

import grpc
import pytest

from deepfm_tf.serving import connections
from deepfm_tf.serving.connections import (
    Drain,
    bind,
    check_certificates,
    check_key,
    client_credentials,
    server_credentials,
)
from tests.serving.localhost_tls import (
    CERTIFICATE,
    KEY,
    LOCKED_KEY,
    OTHER_KEY,
    OTHER_KIND_OF_KEY,
)


def test_a_taken_port_is_named_with_its_flag():
    with bind(0, "--port") as bound:
        bound.listen()
        port = bound.getsockname()[1]

        with pytest.raises(
            ValueError, match=f"{port} .another server has it.*--rest_api_port"
        ):
            bind(port, "--rest_api_port")


def test_the_protocol_is_named():
    """Without it asyncio leaves Nagle's algorithm on: 40 ms an answer."""
    with bind(0, "--port") as bound:
        assert bound.proto == socket.IPPROTO_TCP


@pytest.fixture
def clock(monkeypatch):
    """Sets the time: `clock(10.0)`."""

    def set_time(seconds):
        monkeypatch.setattr(connections.time, "monotonic", lambda: seconds)

    set_time(100.0)
    return set_time


def test_it_waits_for_a_moment_without_traffic(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.note_call()
    clock(100.25)
    drain.begin()

    assert drain.seconds_left() == 0.25
    drain.note_call()
    assert drain.seconds_left() == 0.5
    clock(100.75)
    assert drain.seconds_left() == 0.0


def test_traffic_without_end_does_not_keep_it(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.begin()
    clock(101.75)
    drain.note_call()

    assert drain.seconds_left() == 0.25
    clock(102.0)
    drain.note_call()
    assert drain.seconds_left() == 0.0


def test_without_traffic_it_waits_for_nothing(clock):
    drain = Drain(quiet_seconds=0.5)

    assert not drain.has_begun
    drain.begin()

    assert drain.has_begun
    assert drain.seconds_left() == 0.0


def test_an_answer_is_traffic_as_well(clock):
    drain = Drain(quiet_seconds=0.5)
    drain.begin()
    drain.note_answer()

    assert drain.seconds_left() == 0.5


def test_clients_that_do_not_pause_are_refused(clock, monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_CALLS", 2)
    drain = Drain()
    assert all(drain.note_call() for _ in range(3))
    drain.begin()

    assert [drain.note_call() for _ in range(3)] == [True, True, False]


def test_calls_that_come_late_are_refused(clock):
    drain = Drain()
    drain.begin()

    clock(100.25)
    assert drain.note_call()
    clock(100.5)
    assert not drain.note_call()


def test_an_answer_waits_for_half_of_its_time_at_most(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.begin()
    drain.note_call()

    assert drain.longest_hold(None) == 4.0
    assert drain.longest_hold(1e9) == 4.0
    assert drain.seconds_left() == 0.5
    assert drain.longest_hold(0.5) == 0.25
    assert drain.seconds_left() == 0.125


@pytest.mark.parametrize("notes", ["", "# F\u0151tan\u00fas\u00edtv\u00e1ny\n"])
def test_bundles_of_certificates_pass(notes):
    check_certificates((notes + CERTIFICATE).encode() * 2, "ca.pem")


@pytest.mark.parametrize("pem", ["", "none", KEY, CERTIFICATE[:200]])
def test_what_holds_no_certificate_is_told(pem):
    with pytest.raises(ValueError, match="^ca.pem must be certificates as PEM"):
        check_certificates(pem.encode(), "ca.pem")


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("none", "^k must be a private key as PEM text, without a password"),
        (CERTIFICATE, "^k must be a private key as PEM text"),
        (LOCKED_KEY, "^k must be a private key as PEM text"),
        (OTHER_KEY, "^k must be the private key of c. .* another certif"),
        (OTHER_KIND_OF_KEY, "^k must be the private key of c."),
    ],
)
def test_a_key_must_be_that_of_the_certificate(key, error):
    check_key(KEY.encode(), CERTIFICATE.encode(), "k", "c")

    with pytest.raises(ValueError, match=error):
        check_key(key.encode(), CERTIFICATE.encode(), "k", "c")


def test_client_credentials_are_of_checked_files(tmp_path):
    paths = {}
    for name, text in {"c": CERTIFICATE, "k": KEY, "other": OTHER_KEY}.items():
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_text(text)

    given = client_credentials(paths["c"], paths["c"], paths["k"])

    assert isinstance(given, grpc.ChannelCredentials)
    for roots, key in ((paths["k"], paths["k"]), (None, paths["other"])):
        with pytest.raises(ValueError, match=f"^{roots or key} must be"):
            client_credentials(roots, paths["c"], key)
    with pytest.raises(FileNotFoundError, match="nope"):
        client_credentials(str(tmp_path / "nope"))


def ssl_config(**fields):
    """What a server's TLS file holds."""
    empty = {"custom_ca": "", "client_verify": False}
    return types.SimpleNamespace(**{**empty, **fields})


def test_a_tls_file_gives_credentials():
    config = ssl_config(
        server_key=KEY,
        server_cert=CERTIFICATE,
        custom_ca=CERTIFICATE,
        client_verify=True,
    )

    given = server_credentials(config, "tls")

    assert isinstance(given, grpc.ServerCredentials)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"server_cert": ""}, "must hold server_key and server_cert.*/tls wit"),
        ({"client_verify": True}, "must hold custom_ca.*/tls without"),
        ({"server_cert": "c"}, "server_cert in .*/tls must be certificates"),
        ({"server_key": "k"}, "server_key in .*/tls must be a private key"),
        ({"server_key": OTHER_KEY}, "key of server_cert in .*/tls"),
        ({"custom_ca": "c"}, "custom_ca in .*/tls must be certificates"),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_refused(fields, error):
    given = {"server_key": KEY, "server_cert": CERTIFICATE, **fields}

    with pytest.raises(ValueError, match=error):
        server_credentials(ssl_config(**given), "a/tls")
