"""The files for several hosts: what they tell each worker, and start."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

import deepfm_tf
from deepfm_tf.cluster import read_cluster
from deepfm_tf.experiment.command_line import CommandLine

PIPELINES = Path(__file__).parents[2] / "pipelines"
PAGE = (PIPELINES / "several_hosts.md").read_text(encoding="utf-8")


def train_settings(words):
    """Of a command that the text of a shell script holds."""
    place = words.index("deepfm-tf")
    assert words[place + 1] == "train"
    return CommandLine().settings(words[place + 2 :])


def test_the_terminals_name_each_other():
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    commands = [shlex.split(block) for block in blocks]

    clusters = [
        read_cluster({"TF_CONFIG": words[0].removeprefix("TF_CONFIG=")})
        for words in commands
    ]

    assert [cluster.index for cluster in clusters] == [0, 1]
    assert clusters[0].addresses == clusters[1].addresses
    assert clusters[0].num_workers == 2
    # But for that, they start the same.
    assert commands[0][1:] == commands[1][1:]
    assert train_settings(commands[0]).label == "clicked"


def test_the_script_of_the_page_uses_what_there_is(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {
        ast.unparse(node).removeprefix("deepfm_tf.")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) == "deepfm_tf"
    }

    assert names <= set(deepfm_tf.__all__)
    assert {"create_strategy", "PreparedData", "training_callbacks"} <= names


@pytest.mark.slow_process
def test_a_pod_knows_its_place():
    service, job = yaml.safe_load_all(
        (PIPELINES / "kubernetes.yaml").read_text(encoding="utf-8")
    )
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    script = (
        container["args"][0]
        .replace("exec ", "echo ")
        .replace("echo deepfm", 'echo "$TF_CONFIG"; echo deepfm')
    )

    output = subprocess.run(
        [*container["command"], script],
        env=environment
        | {"JOB_COMPLETION_INDEX": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout

    config, _, command = output.rpartition("deepfm-tf")
    cluster = read_cluster({"TF_CONFIG": config})
    assert cluster.index == 1
    # Indexed pods are called so: NAME-INDEX.SUBDOMAIN.
    assert cluster.addresses == (
        "clicks-0.clicks:20000",
        "clicks-1.clicks:20000",
    )
    assert job["metadata"]["name"] == pod["subdomain"] == "clicks"
    assert service["metadata"]["name"] == "clicks"
    assert service["spec"]["ports"] == [{"port": 20000}]
    assert job["spec"]["completions"] == int(environment["WORKERS"]) == 2
    assert train_settings(["deepfm-tf", *command.split()]).label == "clicked"


def test_the_slurm_script_starts_the_command():
    text = (PIPELINES / "slurm.sh").read_text(encoding="utf-8")
    words = shlex.split(text.replace("\\\n", " "), comments=True)

    assert words[:2] == ["exec", "srun"]
    assert "#SBATCH --ntasks-per-node=1" in text
    assert str(train_settings(words).run) == "/shared/run"


def test_the_command_of_ray_is_understood():
    (words,) = re.findall(r"`python ray_train.py (.*?)`", PAGE, re.DOTALL)

    settings = CommandLine().settings(words.split())

    assert settings.train == ["/shared/clicks.parquet"]
