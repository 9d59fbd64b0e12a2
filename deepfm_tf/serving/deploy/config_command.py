"""`python -m deepfm_tf.serving config`: files for the real server."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from deepfm_tf.errors import UserError
from deepfm_tf.serving.deploy import templates
from deepfm_tf.shell import command_line

_CONFIG_POLL_SECONDS = 60
_WARM_UP = "assets.extra/tf_serving_warmup_requests"
_CARD = "assets.extra/model_card.json"
_MAX_BATCH_SIZE = 512
# Measured with a model of 78 MB and jemalloc: 650 MB with one version loaded,
# 828 at the peak of a switch. So about this for the process, and twice its
# files for each of two versions.
_BASE_MB = 512
_MEMORY_PER_BYTE = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files that the command line asks for.

    Args:
        argv: sequence of str. Without the command's name; None takes
            `sys.argv`.

    Returns:
        Exit status: 0, or 1 with a message on standard error. A wrong
        command line exits with 2.
    """
    options = _parser().parse_args(argv)
    try:
        command = write_operator_files(
            options.model_base_path,
            options.output,
            model_name=options.model_name,
            cores=options.cores,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(command)
    return 0


def write_operator_files(
    model_base_path: str | Path,
    output: str | Path,
    *,
    model_name: str | None = None,
    cores: int = 2,
) -> str:
    """Write what TensorFlow Serving needs to serve an exported model.

    `models.config`, `monitoring.config`, `batching.config`, `Dockerfile`
    and `kubernetes.yaml`, with every setting explained in a comment.

    Args:
        model_base_path: the directory that holds the numbered versions.
        output: the directory to write to; made if need be.
        model_name: str or None. Defaults to the directory's name.
        cores: int. CPUs that a server has. Defaults to 2.

    Returns:
        The `docker run` command, with comments.

    Raises:
        ValueError: there is no version, or a name cannot be used.

    Example:

    >>> write_operator_files("saved_models/nope", "/tmp/deploy")
    Traceback (most recent call last):
    deepfm_tf.errors.UserError: `model_base_path` must be a directory ...
    """
    base = Path(model_base_path)
    version = _newest_version(base)
    model = model_name or base.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", model):
        raise UserError(
            "`model_name` must consist of letters, digits, '_', '.' and '-'. "
            f"Received: '{model}'."
        )
    if cores < 1:
        raise UserError(
            f"`cores` must be a positive integer. Received: cores={cores}."
        )
    texts = _texts(model, version, cores)
    directory = Path(output)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    lines = _docker_command(model, base, directory, version, cores)
    return f"# Written to {output}: {', '.join(sorted(texts))}.\n{lines}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deepfm_tf.serving config",
        description="Write what TensorFlow Serving itself needs to serve an "
        "exported model, each setting explained, and print the command that "
        "runs it in Docker.",
    )
    parser.add_argument(
        "--model_base_path",
        required=True,
        help="the directory that holds the numbered versions",
    )
    parser.add_argument(
        "--output", required=True, help="the directory to write to"
    )
    parser.add_argument(
        "--model_name", help="default: the name of the model's directory"
    )
    parser.add_argument(
        "--cores",
        type=int,
        default=2,
        help="CPUs that a server has (default: %(default)s)",
    )
    return parser


def _newest_version(base: Path) -> Path:
    found = base.iterdir() if base.is_dir() else ()
    versions = [
        path
        for path in found
        if path.name.isdecimal() and (path / "saved_model.pb").is_file()
    ]
    if not versions:
        raise UserError(
            "`model_base_path` must be a directory with an exported version, "
            f"<version>/saved_model.pb. Received: {base}, which has none. "
            "Export a model there first (`export_saved_model`)."
        )
    return max(versions, key=lambda path: int(path.name))


def _texts(model: str, version: Path, cores: int) -> dict[str, str]:
    """File name -> its text."""
    sizes = [f.stat().st_size for f in version.rglob("*") if f.is_file()]
    megabytes = sum(sizes) / 2**20
    request = math.ceil(_BASE_MB + _MEMORY_PER_BYTE * megabytes)
    max_rows, warm_up = _warm_up(version)
    values = {
        "warm_up": _comment(warm_up, 0),
        "max_batch_size": max(max_rows, _MAX_BATCH_SIZE),
        "model": model,
        "version": int(version.name),
        "cores": cores,
        "config_poll": _CONFIG_POLL_SECONDS,
        "image": templates.IMAGE,
        "jemalloc": templates.JEMALLOC,
        # What Kubernetes allows in the names of its objects.
        "resource": re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"),
        "model_image": f"registry.example.com/{model.lower()}-serving:1",
        "memory_request": request,
        "memory_limit": math.ceil(1.5 * request),
        "base_mb": _BASE_MB,
        "memory_reason": (
            f"A version is {math.ceil(megabytes)} MB. An old and a new one "
            "are loaded at once."
        ),
    }
    texts = {
        "models.config": templates.MODELS_CONFIG,
        "monitoring.config": templates.MONITORING_CONFIG,
        "batching.config": templates.BATCHING_CONFIG,
        "Dockerfile": templates.DOCKERFILE,
    }
    filled = {name: text.format(**values) for name, text in texts.items()}
    filled["kubernetes.yaml"] = templates.KUBERNETES.format(
        **values,
        models_config=textwrap.indent(filled["models.config"], " " * 4),
        monitoring_config=textwrap.indent(filled["monitoring.config"], " " * 4),
        args="\n".join(
            f"{_comment(reason, 12)}\n            - {flag.format(**values)}"
            for flag, reason in templates.FLAGS
        ),
    )
    return filled


def _warm_up(version: Path) -> tuple[int, str]:
    """The most rows of a warm-up request, and what that means for batching."""
    try:
        card = json.loads((version / _CARD).read_text(encoding="utf-8"))
        rows = [int(number) for number in card["warm_up"]["rows"]]
        names = {"rank", "packed_rank"} & {*card["warm_up"]["signatures"]}
    except (OSError, ValueError, KeyError, TypeError):
        return 0, "See that they fit: this version does not say how large."
    if names:
        return max(rows), (
            f"Those of version {version.name} ask {' and '.join(sorted(names))}"
            ", so with batching it would never be served: export it once "
            "more with --no-rank-warm-up (`warm_up_rank=False`)."
        )
    return max(rows, default=0), f"Those of version {version.name} fit."


def _comment(text: str, indent: int) -> str:
    prefix = " " * indent + "# "
    return textwrap.fill(
        text, 78, initial_indent=prefix, subsequent_indent=prefix
    )


def _docker_command(
    model: str, base: Path, directory: Path, version: Path, cores: int
) -> str:
    values = {"cores": cores, "config_poll": _CONFIG_POLL_SECONDS}
    flags = [
        (flag.format(**values), reason) for flag, reason in templates.FLAGS
    ]
    lines = [
        f"# The newest version is {version.name}. What the flags are for:",
        *(_comment(f"{flag}: {reason}", 0) for flag, reason in flags),
    ]
    if not (version / _WARM_UP).is_file():
        lines.append(
            _comment(
                f"The version has no warm-up requests ({_WARM_UP}): its first "
                "answers will be slow. Export it anew to have them.",
                0,
            )
        )
    here, config = (shlex.quote(str(p.resolve())) for p in (base, directory))
    image = f"{model.lower()}-serving"
    predict = command_line(
        *("python", "-m", "deepfm_tf.serving", "predict"),
        *("--address", "localhost:8500", "--model_name", model),
        *("--input", "rows.csv"),
    )
    lines += [
        "#",
        _comment(
            f"With jemalloc: `docker build -t {image} {config}`, then "
            f"{image} in place of {templates.IMAGE}.",
            0,
        ),
        "docker run --rm -p 8500:8500 -p 8501:8501 \\",
        f"  -v {here}:/models/{model}:ro \\",
        f"  -v {config}:/config:ro \\",
        f"  {templates.IMAGE} \\",
        " \\\n".join(f"  {flag}" for flag, _ in flags),
        "# Then, for example:",
        f"# {predict}",
    ]
    return "\n".join(lines)
