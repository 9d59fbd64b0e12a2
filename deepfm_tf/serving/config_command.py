"""`deepfm-tf config`: files that run the real TensorFlow Serving."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from importlib import resources
from math import ceil
from pathlib import Path
from string import Template
from typing import Any

from deepfm_tf.errors import UserError
from deepfm_tf.options import Parser
from deepfm_tf.shell import command_line

FILES = "models.config monitoring.config batching.config Dockerfile".split()


def main(
    arguments: Sequence[str] | None = None, command: str = "deepfm-tf config"
) -> int:
    """Write the files that the command line asks for; the exit status."""
    parser = Parser(prog=command, description=_filled("about.txt", {}))
    add = parser.add_argument
    about = "the directory that holds the numbered versions"
    add("--model_base_path", required=True, help=about)
    add("--output", required=True, help="the directory to write to")
    add("--model_name", help="default: the name of the model's directory")
    about = "CPUs that a server has (default: %(default)s)"
    add("--cores", type=int, default=2, help=about)
    options = vars(parser.parse_args(arguments))
    try:
        print(write_operator_files(**options, command=command))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def write_operator_files(
    model_base_path: str | Path,
    output: str | Path,
    model_name: str | None = None,
    cores: int = 2,
    command: str = "deepfm-tf config",
) -> str:
    """Write `FILES` and a manifest; the command that runs it in Docker."""
    base, directory = Path(model_base_path), Path(output)
    model = model_name or base.resolve().name
    found = [file.parent for file in base.glob("*/saved_model.pb")]
    versions = [path for path in found if path.name.isdecimal()]
    if not versions:
        raise UserError(
            "`model_base_path` must be a directory with an exported version, "
            f"<version>/saved_model.pb. Received: {base}, which has none. "
            "Export a model there first (`export_saved_model`)."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", model):
        raise UserError(
            "`model_name` must consist of letters, digits, '_', '.' and '-'. "
            f"Received: '{model}'."
        )
    if cores < 1:
        raise UserError(f"`cores` must be positive. Received: cores={cores}.")
    version = max(versions, key=lambda path: int(path.name))
    sizes = [f.stat().st_size for f in version.rglob("*") if f.is_file()]
    # Of 78 MB: 650 MB with one version loaded, 828 at the peak of a switch.
    memory = ceil(512 + 4 * sum(sizes) / 2**20)
    predict = f"{command.removesuffix('config')}predict --model_name {model}"
    words = f"{predict} --address localhost:8500 --input rows.csv".split()
    is_warm = (version / "assets.extra/tf_serving_warmup_requests").is_file()
    values: dict[str, Any] = {
        "model": model,
        "image": f"{model.lower()}-serving",
        # What Kubernetes allows in the names of its objects.
        "resource": re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"),
        "version": int(version.name),
        "version_name": version.name,
        "no_warm_up": "" if is_warm else _filled("no_warm_up.txt", {}),
        **_batching_values(version),
        "cores": cores,
        "megabytes": ceil(sum(sizes) / 2**20),
        "memory_request": memory,
        "memory_limit": ceil(1.5 * memory),
        "output": output,
        "config": shlex.quote(str(directory.resolve())),
        "here": shlex.quote(str(base.resolve())),
        "predict": command_line(*words),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, "kubernetes.yaml"):  # which holds the first two
        text = _filled(name, values)
        (directory / name).write_text(text, encoding="utf-8")
        values[name.replace(".", "_")] = textwrap.indent(text, " " * 4)
    return _filled("docker_run.sh", values).rstrip()


def _batching_values(version: Path) -> dict[str, Any]:
    """What the warm-up requests mean for batching, and their most rows."""
    try:
        card = (version / "assets.extra/model_card.json").read_text("utf-8")
        warm_up = json.loads(card)["warm_up"]
        rows = max(map(int, warm_up["rows"]), default=0)
        names = sorted({"rank", "packed_rank"} & {*warm_up["signatures"]})
        asked = f"ask {' and '.join(names)}" + _filled("rank_warm_up.txt", {})
        told = f"Those of version {version.name} {asked if names else 'fit.'}"
    except (OSError, ValueError, KeyError, TypeError):
        rows = 0
        told = "See that they fit: this version does not say how large."
    told = textwrap.fill(f"# {told}", 78, subsequent_indent="# ")
    return {"warm_up": told, "max_batch_size": max(rows, 512)}


def _filled(name: str, values: dict[str, Any]) -> str:
    file = resources.files(__package__) / "templates" / name
    return Template(file.read_text("utf-8")).substitute(values)
