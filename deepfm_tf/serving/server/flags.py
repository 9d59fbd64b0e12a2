"""The flags of tensorflow_model_server, read the way it reads them."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from deepfm_tf.cpus import num_cpus
from deepfm_tf.errors import UserError
from deepfm_tf.serving.server.unused_flags import UNUSED_FLAGS, unused_line

_LOG = logging.getLogger(__name__)
_INT32_MAX = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Options:
    """How a server is to run: one attribute a flag, same name and default.

    Names, meanings and defaults are tensorflow_model_server's, so that a
    command line moves from one to the other. One thing differs:
    `num_load_threads=0` there loads on the thread that also unloads, so that
    a version that keeps failing blocks everything else, a rollback too. Here
    loads always have threads of their own, and 0 means one of them.

    Args:
        port: int. Of gRPC on all interfaces; 0 picks a free one.
        grpc_socket_path: str. Also listen on this UNIX socket.
        rest_api_port: int. Of REST and of metrics; 0 means none, -1 picks
            a free one.
        rest_api_num_threads: int. REST requests worked on at once.
        rest_api_timeout_in_ms: int. After which REST answers 504.
        model_name: str. Of the model below `model_base_path`.
        model_base_path: str. The directory of the version directories.
        model_config_file: str. Text ModelServerConfig; instead of the two.
        model_config_file_poll_wait_seconds: int. 0 reads it once.
        saved_model_tags: str. Which graph of a SavedModel to load: its
            tags, with commas between them.
        file_system_poll_wait_seconds: int. Between looks for new versions;
            0 looks once, negative never.
        num_load_threads: int. Versions loaded at once; 0 means 1.
        max_num_load_retries: int. After the first failed try.
        load_retry_interval_micros: int. Between two tries.
        allow_version_labels_for_unavailable_models: bool. Or a label must
            name a version that is available.
        enable_model_warmup: bool. Replay a version's warm-up requests before
            it serves.
        num_request_iterations_for_warmup: int. Replays of each record.
        enable_batching: bool. Merge concurrent requests.
        batching_parameters_file: str. Text BatchingParameters.
        monitoring_config_file: str. Text MonitoringConfig.
        ssl_config_file: str. Text SSLConfig; gRPC is plain without.
        grpc_channel_arguments: str. `key=value,key=value` for gRPC.
        grpc_max_threads: int. Requests worked on at once.
        enable_grpc_healthcheck_service: bool. Offer grpc.health.v1.
        enable_signature_method_name_check: bool. Classify and Regress only
            serve signatures whose method name says so.
        enable_serialization_as_tensor_content: bool. Answer with
            `tensor_content`, not typed lists.
        tensorflow_session_parallelism: int. Both of the next two at once.
        tensorflow_intra_op_parallelism: int. Threads for the work of one
            operation; 0 leaves it to TensorFlow.
        tensorflow_inter_op_parallelism: int. Threads for operations that
            run side by side; 0 leaves it to TensorFlow.

    Example:
        >>> Options(model_base_path="/models/ctr").port
        8500
    """

    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = 4 * num_cpus()
    rest_api_timeout_in_ms: int = 30000
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    saved_model_tags: str = "serve"
    file_system_poll_wait_seconds: int = 1
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60 * 1000 * 1000
    allow_version_labels_for_unavailable_models: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 1
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    grpc_channel_arguments: str = ""
    grpc_max_threads: int = 4 * num_cpus()
    enable_grpc_healthcheck_service: bool = False
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0


GROUPS = {
    "What to serve": {
        "model_base_path": "directory that holds the numbered versions",
        "model_name": "name that requests use for that model",
        "model_config_file": "text ModelServerConfig, for several models, "
        "version policies and labels; instead of the two above",
        "model_config_file_poll_wait_seconds": "read it again this often; "
        "0 never",
        "saved_model_tags": "tags of the graph to load, with commas between",
    },
    "Where to listen": {
        "port": "gRPC, on all interfaces; 0 picks a free port",
        "grpc_socket_path": "gRPC also on this UNIX socket",
        "rest_api_port": "REST and metrics; 0 for none, -1 picks a free port",
        "rest_api_num_threads": "REST requests worked on at once",
        "rest_api_timeout_in_ms": "a REST request may take this long",
        "ssl_config_file": "text SSLConfig: gRPC over TLS",
        "grpc_channel_arguments": "key=value,key=value for the gRPC server",
        "grpc_max_threads": "gRPC requests worked on at once",
    },
    "How versions come and go": {
        "file_system_poll_wait_seconds": "look for versions this often; "
        "0 once, negative never",
        "num_load_threads": "versions loaded at once; 0 means 1",
        "max_num_load_retries": "tries after a load has failed",
        "load_retry_interval_micros": "between those tries",
        "allow_version_labels_for_unavailable_models": "accept labels for "
        "versions that are not there yet",
        "enable_model_warmup": "replay a version's warm-up requests before it "
        "serves",
        "num_request_iterations_for_warmup": "replays of each warm-up record",
    },
    "How to answer": {
        "enable_batching": "merge concurrent requests",
        "batching_parameters_file": "text BatchingParameters",
        "enable_signature_method_name_check": "Classify and Regress check "
        "the signature's method name",
        "enable_serialization_as_tensor_content": "answer with "
        "tensor_content: quicker to decode",
        "tensorflow_session_parallelism": "threads of TensorFlow's: sets "
        "both of the next two",
        "tensorflow_intra_op_parallelism": "threads for the work of one "
        "operation; 0 leaves it to TensorFlow",
        "tensorflow_inter_op_parallelism": "threads for operations that run "
        "side by side; 0 leaves it to TensorFlow",
    },
    "What to watch": {
        "monitoring_config_file": "text MonitoringConfig: Prometheus "
        "metrics on the REST port",
        "enable_grpc_healthcheck_service": "offer grpc.health.v1",
    },
}

_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Options)
}
_ALL_DEFAULTS: dict[str, Any] = {
    **_DEFAULTS,
    **{name: default for name, (default, _) in UNUSED_FLAGS.items()},
}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse_flags(arguments: Sequence[str]) -> Options:
    """Read a command line.

    Args:
        arguments: sequence of str. `--flag=value`, `--flag value`, and for
            booleans also `--flag` alone. One dash will do. Without the
            name of the command.

    Returns:
        The `Options`. A flag of the real server's that has no meaning here
        is told in a line of the log.

    Raises:
        ValueError: an unknown flag, a value of the wrong kind, or flags
            that contradict each other.

    Example:
        >>> parse_flags(["--port=0", "--model_base_path", "/models/ctr"]).port
        0
    """
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, text = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            raise UserError(
                f"Every argument must be a flag. Received: {argument!r}. "
                "Write --flag=value; --help lists the flags."
            )
        if name not in _ALL_DEFAULTS:
            raise UserError(_unknown(name))
        is_boolean = isinstance(_ALL_DEFAULTS[name], bool)
        if not equals and is_boolean:
            text = rest.pop(0) if rest[:1] and rest[0] in _BOOLEANS else "true"
        elif not equals:
            if not rest:
                raise UserError(
                    f"--{name} must have a value. Received: nothing after "
                    f"it. Write --{name}=value."
                )
            text = rest.pop(0)
        given[name] = _convert(name, text)
    unused = {name: given.pop(name) for name in UNUSED_FLAGS if name in given}
    if unused.get("use_alts_credentials"):
        raise UserError(
            "--use_alts_credentials must be false: this server would answer "
            "without encryption. Use --ssl_config_file for TLS."
        )
    options = Options(**given)
    _check(options)
    for name in unused:
        _LOG.warning("%s", unused_line(name))
    return options


def channel_arguments(text: str) -> dict[str, int | str]:
    """What --grpc_channel_arguments asks for; whole numbers become such.

    Args:
        text: str. `key=value,key=value`.

    Raises:
        ValueError: it is something else.

    Example:
        >>> channel_arguments("grpc.max_receive_message_length=1000,a=b")
        {'grpc.max_receive_message_length': 1000, 'a': 'b'}
    """
    arguments: dict[str, int | str] = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UserError(
                "--grpc_channel_arguments must be key=value,key=value. "
                f"Received: {pair!r} in it."
            )
        is_int = re.fullmatch(r"-?[0-9]+", value)
        arguments[key] = int(value) if is_int else value
    return arguments


def help_text() -> str:
    """All flags in groups, with what they mean and their defaults."""
    lines = []
    for group, flags in GROUPS.items():
        lines.append(f"\n{group}:")
        for name, meaning in flags.items():
            default = _DEFAULTS[name]
            shown = str(default).lower() if default != "" else "none"
            lines.append(f"  --{name}={shown}")
            lines += textwrap.wrap(
                meaning,
                width=78,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
            )
    return "\n".join(lines) + "\n"


def _convert(name: str, text: str) -> bool | int | float | str:
    """The value of a flag in its own type."""
    default = _ALL_DEFAULTS[name]
    if isinstance(default, bool):
        if text.lower() not in _BOOLEANS:
            raise UserError(
                f"--{name} must be true or false. Received: {text!r}."
            )
        return _BOOLEANS[text.lower()]
    if isinstance(default, int | float):
        kind = type(default)
        wanted = "a whole number" if kind is int else "a number"
        try:
            return kind(text)
        except ValueError:
            raise UserError(
                f"--{name} must be {wanted}. Received: {text!r}."
            ) from None
    return text


def _unknown(name: str) -> str:
    """What to say of a flag that does not exist."""
    near = difflib.get_close_matches(name, _ALL_DEFAULTS, n=1)
    hint = f"Did you mean --{near[0]}? " if near else ""
    return f"Unknown flag: --{name}. {hint}--help lists the flags."


def _check(options: Options) -> None:
    """Refuse what cannot work, before anything starts."""
    if not (options.model_base_path or options.model_config_file):
        raise UserError(
            "What to serve must be given. Received: neither "
            "--model_base_path nor --model_config_file. Write "
            "--model_base_path=/absolute/path/to/saved_models/NAME "
            "--model_name=NAME."
        )
    if options.batching_parameters_file and not options.enable_batching:
        raise UserError(
            "--batching_parameters_file must come with --enable_batching. "
            "Received: the file alone. Add --enable_batching."
        )
    if options.tensorflow_session_parallelism and (
        options.tensorflow_intra_op_parallelism
        or options.tensorflow_inter_op_parallelism
    ):
        raise UserError(
            "--tensorflow_session_parallelism must come alone, as it sets "
            "what --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism set one by one. Received: "
            "both kinds. Leave one out."
        )
    channel_arguments(options.grpc_channel_arguments)
    if options.rest_api_port == options.port > 0:
        raise UserError(
            "--rest_api_port and --port must differ. Received: "
            f"{options.port} for both. The customary pair is 8501 and 8500."
        )
    for name, lowest, highest in (
        ("port", 0, 65535),
        ("rest_api_port", -1, 65535),
        ("rest_api_num_threads", 1, 65535),
        ("rest_api_timeout_in_ms", 1, _INT32_MAX),
        ("num_load_threads", 0, 1024),
        ("max_num_load_retries", 0, _INT32_MAX),
        ("load_retry_interval_micros", 0, 2**63 - 1),
        ("grpc_max_threads", 1, 65535),
        ("num_request_iterations_for_warmup", 1, _INT32_MAX),
        ("tensorflow_session_parallelism", 0, _INT32_MAX),
        ("tensorflow_intra_op_parallelism", 0, _INT32_MAX),
        ("tensorflow_inter_op_parallelism", 0, _INT32_MAX),
    ):
        value = getattr(options, name)
        if not lowest <= value <= highest:
            raise UserError(
                f"--{name} must be from {lowest} to {highest}. "
                f"Received: {value}."
            )
