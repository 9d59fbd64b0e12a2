"""PEM texts: what is none is told, by name, before it is used."""

import grpc
import pytest

from deepfm_tf.serving.tls import (
    check_certificates,
    check_key,
    client_credentials,
)
from tests.serving.localhost_tls import (
    CERTIFICATE,
    KEY,
    LOCKED_KEY,
    OTHER_KEY,
    OTHER_KIND_OF_KEY,
)


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
