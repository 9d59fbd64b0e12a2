"""The files for the real server parse, and agree with each other."""

import json
import re
import shlex
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from deepfm_tf.serving import config_command
from deepfm_tf.serving.server.server import message_type
from deepfm_tf.shell import command_line

# Of tensorflow_model_server 2.20; an unknown one makes it exit.
REAL_FLAGS = {
    "file_system_poll_wait_seconds",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "monitoring_config_file",
    "num_load_threads",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
}


@pytest.fixture
def base(tmp_path):
    """Versions 2 and 10 of a model; 10 has 4 MB and a warm-up."""
    base = tmp_path / "models" / "Deep_FM"
    for version in ("2", "10", ".tmp-x", "11"):
        (base / version / "assets.extra").mkdir(parents=True)
    for version in ("2", "10"):
        (base / version / "saved_model.pb").write_bytes(b"x" * 2**22)
    (base / "10/assets.extra/tf_serving_warmup_requests").write_bytes(b"")
    return base


@pytest.fixture
def written(base, tmp_path):
    """The command and the directory of files."""
    command = config_command.write_operator_files(base, tmp_path / "out")
    return command, tmp_path / "out"


def batching(directory):
    """The numbers and switches of `batching.config`, as text."""
    text = (directory / "batching.config").read_text()
    lines = [x for x in text.splitlines() if not x.startswith("#")]
    found = [re.fullmatch(r"(\w+) \{ value: (\w+) \}", x) for x in lines]
    assert all(found), lines
    return dict(match.groups() for match in found)


def test_the_models_config_parses(written):
    text = (written[1] / "models.config").read_text()

    config = text_format.Parse(
        text, model_server_config_pb2.ModelServerConfig()
    )

    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("Deep_FM", "/models/Deep_FM")
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.latest.num_versions == 1
    assert not model.version_labels  # they would stop the server's start


def test_the_lines_to_take_instead_parse_too(written):
    text = (written[1] / "models.config").read_text()
    other = re.sub(r"(?m)^.*latest \{ num_versions: 1 \} \}\n", "", text)
    other = re.sub(r"(?m)# (model_version_policy|version_labels)", r"\1", other)

    config = text_format.Parse(
        other, model_server_config_pb2.ModelServerConfig()
    )

    (model,) = config.model_config_list.config
    assert model.model_version_policy.specific.versions == [10]
    assert model.version_labels == {"stable": 10}


def test_the_other_configs_parse(written):
    monitoring = message_type("MonitoringConfig")()

    text_format.Parse(
        (written[1] / "monitoring.config").read_text(), monitoring
    )

    assert monitoring.prometheus_config.enable
    assert batching(written[1]) == {
        "max_batch_size": "512",
        "batch_timeout_micros": "1000",
        "max_enqueued_batches": "100",
        "num_batch_threads": "2",
        "enable_large_batch_splitting": "true",
        "max_execution_batch_size": "512",
    }


@pytest.mark.parametrize(
    ("warm_up", "size", "text"),
    [
        ({"rows": [1, 100], "signatures": ["packed"]}, 512,
         "# Those of version 10 fit.\n"),
        ({"rows": [1, 2000], "signatures": ["packed"]}, 2000,
         "# Those of version 10 fit.\n"),
        ({"rows": [10], "signatures": ["packed", "packed_rank", "rank"]}, 512,
         "# Those of version 10 ask packed_rank and rank, so with batching it"),
        ({"rows": [], "signatures": []}, 512, "# Those of version 10 fit.\n"),
        (None, 512, "# See that they fit: "),
    ],
)  # fmt: skip
def test_the_batching_config_agrees_with_the_warm_up(
    base, tmp_path, warm_up, size, text
):
    if warm_up is not None:
        card = base / "10/assets.extra/model_card.json"
        card.write_text(json.dumps({"warm_up": warm_up}))

    config_command.write_operator_files(base, tmp_path / "out")

    assert batching(tmp_path / "out")["max_batch_size"] == str(size)
    assert text in (tmp_path / "out" / "batching.config").read_text()


def test_the_command_is_one_that_the_real_server_takes(written, base):
    command, directory = written
    lines = [x for x in command.splitlines() if not x.startswith("#")]

    words = shlex.split("\n".join(lines).replace("\\\n", " "))

    assert words[:2] == ["docker", "run"]
    assert f"{base}:/models/Deep_FM:ro" in words
    assert f"{directory}:/config:ro" in words
    predict = command_line("deepfm-tf", "predict")
    assert command.splitlines()[-1].startswith(f"# {predict} --model_name ")
    image = words.index("tensorflow/serving:2.20.0")
    flags = [
        word.removeprefix("--").split("=")[0] for word in words[image + 1 :]
    ]
    assert set(flags) == REAL_FLAGS
    for flag in flags:  # each is explained
        assert re.search(rf"(?m)^# --{flag}=\S+: \S+", command), flag


def test_the_templates_are_in_the_package():
    folder = resources.files("deepfm_tf.serving") / "templates"

    assert {file.name for file in folder.iterdir()} >= {
        *config_command.FILES,
        "kubernetes.yaml",
        "docker_run.sh",
    }
    # The wheel has what setup.py names.
    setup = Path(config_command.__file__).parents[2] / "setup.py"
    assert '"deepfm_tf.serving": ["templates/*"]' in setup.read_text()


def test_the_words_are_those_that_were_typed(base, tmp_path, capsys):
    typed = "python -m deepfm_tf.serving config"
    with pytest.raises(SystemExit):
        config_command.main(["--help"], typed)
    assert (
        "usage: python -m deepfm_tf.serving config" in capsys.readouterr().out
    )

    arguments = [f"--model_base_path={base}", f"--output={tmp_path / 'x'}"]
    assert config_command.main(arguments, typed) == 0

    predict = command_line("python", "-m", "deepfm_tf.serving", "predict")
    assert f"\n# {predict} --model_name " in capsys.readouterr().out


def test_a_missing_warm_up_is_mentioned(written, base, tmp_path):
    (base / "10/assets.extra/tf_serving_warmup_requests").unlink()

    again = config_command.write_operator_files(base, tmp_path / "out")

    assert "no warm-up requests" in again
    assert "no warm-up requests" not in written[0]


def test_the_manifest_holds_what_the_files_hold(written):
    directory = written[1]
    text = (directory / "kubernetes.yaml").read_text()

    config, deployment, service = [
        parse_yaml(part) for part in text.split("\n---\n")
    ]

    kinds = [d["kind"] for d in (config, deployment, service)]
    assert kinds == ["ConfigMap", "Deployment", "Service"]
    for name, content in config["data"].items():
        assert content.strip() == (directory / name).read_text().strip()
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    flags = [a.removeprefix("--").split("=")[0] for a in container["args"]]
    assert set(flags) == REAL_FLAGS
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"grpc": "8500", "rest": "8501"}
    assert {p["name"]: p["port"] for p in service["spec"]["ports"]} == ports
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector == service["spec"]["selector"] == {"app": "deep-fm"}
    # 512 MB and four times the 4 MB of the newest version.
    assert container["resources"]["requests"]["memory"] == "528Mi"
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts == {"models": "/models/Deep_FM", "config": "/config"}
    assert {v["name"] for v in pod["volumes"]} == set(mounts)


def test_the_command_line(base, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "x"), "--model_name", "m"]

    status = config_command.main(
        [f"--model_base_path={base}", "--cores=8", *arguments]
    )

    assert status == 0
    out = capsys.readouterr().out
    assert ":/models/m:ro" in out
    assert "--tensorflow_intra_op_parallelism=8" in out
    assert 'name: "m"' in (tmp_path / "x/models.config").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_base_path=nope"], "with an exported version.*Export a"),
        (["--model_base_path={base}", "--model_name=a b"], "letters, digits"),
        (["--model_base_path={base}", "--cores=0"], "`cores` must be"),
    ],
)
def test_mistakes_are_told_in_words(base, tmp_path, capsys, arguments, message):
    arguments = [a.format(base=base) for a in arguments]

    status = config_command.main([*arguments, f"--output={tmp_path / 'x'}"])

    assert status == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--ouptut=x", "Did you mean --output?"),
        ("--modle_name=m", "Did you mean --model_name?"),
    ],
)
def test_a_misspelt_option_is_told_first(capsys, argument, hint):
    with pytest.raises(SystemExit) as caught:
        config_command.main([argument])

    assert caught.value.code == 2
    name = argument.partition("=")[0]
    assert f"There is no option {name}. {hint}" in capsys.readouterr().err


def parse_yaml(text):
    """YAML as far as the manifest uses it: maps, lists, literal blocks.

    Every value is text.
    """
    lines = text.split("\n")

    def indent(line):
        return len(line) - len(line.lstrip(" "))

    def skip(n):
        while n < len(lines) and lines[n].strip()[:1] in ("", "#"):
            n += 1
        return n

    def block(n, depth):
        n = skip(n)
        result = [] if lines[n].strip().startswith("- ") else {}
        while (n := skip(n)) < len(lines) and indent(lines[n]) == depth:
            line = lines[n].strip()
            if line.startswith("- "):
                if re.match(r"- \w+:( |$)", line):
                    # A map whose first key stands behind the dash.
                    lines[n] = " " * (depth + 2) + line[2:]
                    item, n = block(n, depth + 2)
                else:
                    item, n = line[2:], n + 1
                result.append(item)
                continue
            key, colon, value = line.partition(":")
            assert colon, line
            value = value.strip()
            if value == "|":
                end = n + 1
                while end < len(lines) and (
                    not lines[end].strip() or indent(lines[end]) > depth
                ):
                    end += 1
                inner = lines[n + 1 : end]
                value = "\n".join(x[depth + 2 :] for x in inner)
                n = end
            elif value:
                value, n = value.strip('"'), n + 1
            else:
                value, n = block(n + 1, indent(lines[skip(n + 1)]))
            assert key not in result, key
            result[key] = value
        return result, n

    result, end = block(0, 0)
    assert skip(end) == len(lines), lines[end]
    return result
