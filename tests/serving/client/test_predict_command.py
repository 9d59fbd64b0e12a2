"""`python -m deepfm_tf.serving predict`: its command line."""

import subprocess
import sys

import grpc
import pytest
from google.protobuf import text_format

from deepfm_tf.serving.client import predict_command, predict_file
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.server.config import message_type
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.serving.localhost_tls import CERTIFICATE, KEY
from tests.serving.toy_model import COLUMNS


@pytest.fixture
def rows(tmp_path):
    """A file of the toy's rows."""
    lines = [COLUMNS, *zip(*COLUMNS.values(), strict=True)]
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    (tmp_path / "rows.csv").write_text(text)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=nope.csv"], "error: There is no file nope.csv"),
        (["--input=rows.xlsx"], "error: "),
        (["--input={rows}", "--separator=;"], "needs the columns"),
        (["--input=arrow.csv"], "arrow.csv must be text .* is an Arrow"),
        (["--input={rows}", "--signature=x"], "has no signature 'x'"),
        (["--input={rows}", "--model_card={rows}"], "names no columns of it"),
        (["--input={rows}", "--model_card=no.json"], "No such file.*no.json"),
        (["--input={rows}", "--outputs=ctr,odds"], "odds"),
        (
            ["--input={rows}", "--model_version=9"],
            "Without --model_version.*Specific\\(toy, 9\\)",
        ),
        (["--input={rows}", "--output=x.doc"], "must be CSV"),
        (
            ["--input={rows}", "--address=localhost:1"],
            "No server answers at .* TLS, --ssl_root_certificates",
        ),
        (["--input={rows}", "--address=localhost"], "address must be host:por"),
        (["--input={rows}", "--ssl_root_certificates={rows}"], "certificates"),
    ],
)
def test_mistakes_are_told_in_words(
    run_predict, rows, monkeypatch, arguments, message
):
    monkeypatch.chdir(rows.parent)
    (rows.parent / "arrow.csv").write_bytes(b"ARROW1")

    status, out, err = run_predict(*[a.format(rows=rows) for a in arguments])

    assert status == 1
    assert out == ""
    with pytest.raises(ValueError, match=message):
        raise ValueError(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout=-1"], "--timeout: must be seconds, more than 0. .*'-1'"),
        (["--timeout=inf"], "--timeout: must be seconds, more than 0"),
        (["--timeout=soon"], "--timeout: must be seconds.*'soon'"),
        (["--max_rows=2.5"], "--max_rows: must be a positive whole number"),
        (["--max_rows=0"], "--max_rows: must be a positive whole number"),
        (["--no-header"], "--no-header and --columns A,B,C must come tog"),
        (["--separator=ab"], "--separator must be one character"),
        (["--ssl_client_key=k"], "_certificate and --ssl_client_key must come"),
    ],
)
def test_a_wrong_command_line_is_told(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        predict_command.main(["--input=x.csv", *arguments])

    assert caught.value.code == 2
    with pytest.raises(ValueError, match=message):
        raise ValueError(capsys.readouterr().err)


def test_errors_name_flags_where_the_client_names_arguments(
    tmp_path, monkeypatch, capsys
):
    def late(options):
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        raise PredictError("`timeout`", code, "late", "host:1")

    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    monkeypatch.setattr(predict_file, "predict_file", late)

    assert predict_command.main([f"--input={path}", "--timeout=3"]) == 1

    assert capsys.readouterr().err == (
        "error: host:1 did not answer within 3.0 seconds. Set a longer "
        "--timeout, or send fewer rows at a time (--max_rows). It says: late "
        "[DEADLINE_EXCEEDED]\n"
    )


def test_a_server_that_verifies_its_clients_is_shown_a_certificate(
    toy_path, tmp_path, rows, capsys
):
    for name, text in {"root.pem": CERTIFICATE, "key.pem": KEY}.items():
        (tmp_path / name).write_text(text)
    config = message_type("SSLConfig")(
        server_key=KEY,
        server_cert=CERTIFICATE,
        custom_ca=CERTIFICATE,
        client_verify=True,
    )
    (tmp_path / "tls").write_text(text_format.MessageToString(config))
    given = Options(
        port=0,
        model_name="toy",
        model_base_path=str(toy_path.parent),
        ssl_config_file=str(tmp_path / "tls"),
    )
    with Server(given) as server:
        known = [
            f"--address=localhost:{server.port}",
            "--model_name=toy",
            f"--input={rows}",
            f"--ssl_root_certificates={tmp_path}/root.pem",
        ]
        shown = [
            f"--ssl_client_certificate={tmp_path}/root.pem",
            f"--ssl_client_key={tmp_path}/key.pem",
        ]

        assert predict_command.main([*known, *shown]) == 0
        assert predict_command.main(known) == 1

    assert (
        "(and --ssl_client_certificate where it asks" in capsys.readouterr().err
    )


@pytest.mark.slow_process
@pytest.mark.parametrize("argument", ["--help", "--input=nope.csv"])
def test_what_needs_no_data_is_said_without_numpy(argument):
    code = f"""
import contextlib, sys
from deepfm_tf.serving.client import predict_command
with contextlib.suppress(SystemExit):
    predict_command.main([{argument!r}])
heavy = {{"numpy", "pandas", "pyarrow", "tensorflow"}}
sys.exit(sorted(heavy & set(sys.modules)) or 0)
"""

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
