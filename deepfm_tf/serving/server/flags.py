"""The flags of tensorflow_model_server, read the way it reads them."""

from __future__ import annotations

import dataclasses
import logging
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from deepfm_tf.cpus import num_cpus
from deepfm_tf.errors import UserError, did_you_mean

_LOG = logging.getLogger(__name__)
_INT32_MAX = 2**31 - 1


def _flag(
    default: bool | int | str,
    meaning: str,
    between: tuple[int, int] | None = (0, _INT32_MAX),
    heading: str = "",
) -> Any:
    """A flag: what the help says of it, and which whole numbers it takes.

    The first one of a group has the group's heading.
    """
    return dataclasses.field(
        default=default,
        metadata={"meaning": meaning, "between": between, "heading": heading},
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """How a server is to run: one attribute a flag, same name and default.

    Names, meanings and defaults are tensorflow_model_server's, so that a
    command line moves from one to the other. One thing differs:
    `num_load_threads=0` there loads on the thread that also unloads, so that
    a version that keeps failing blocks everything else, a rollback too. Here
    loads always have threads of their own, and 0 means one of them.

    >>> Options(model_base_path="/models/ctr").port
    8500
    """

    model_base_path: str = _flag(
        "",
        "directory that holds the numbered versions",
        heading="What to serve",
    )
    model_name: str = _flag("default", "name that requests use for that model")
    model_config_file: str = _flag(
        "",
        "text ModelServerConfig, for several models, version policies and "
        "labels; instead of the two above",
    )
    model_config_file_poll_wait_seconds: int = _flag(
        0, "read it again this often; 0 never", None
    )
    saved_model_tags: str = _flag(
        "serve", "tags of the graph to load, with commas between"
    )
    port: int = _flag(
        8500,
        "gRPC, on all interfaces; 0 picks a free port",
        (0, 65535),
        heading="Where to listen",
    )
    grpc_socket_path: str = _flag("", "gRPC also on this UNIX socket")
    rest_api_port: int = _flag(
        0, "REST and metrics; 0 for none, -1 picks a free port", (-1, 65535)
    )
    rest_api_num_threads: int = _flag(
        4 * num_cpus(), "REST requests worked on at once", (1, 65535)
    )
    rest_api_timeout_in_ms: int = _flag(
        30000, "a REST request may take this long", (1, _INT32_MAX)
    )
    ssl_config_file: str = _flag("", "text SSLConfig: gRPC over TLS")
    grpc_channel_arguments: str = _flag(
        "", "key=value,key=value for the gRPC server"
    )
    grpc_max_threads: int = _flag(
        4 * num_cpus(), "gRPC requests worked on at once", (1, 65535)
    )
    file_system_poll_wait_seconds: int = _flag(
        1,
        "look for versions this often; 0 once, negative never",
        None,
        heading="How versions come and go",
    )
    num_load_threads: int = _flag(
        0, "versions loaded at once; 0 means 1", (0, 1024)
    )
    max_num_load_retries: int = _flag(5, "tries after a load has failed")
    load_retry_interval_micros: int = _flag(
        60 * 1000 * 1000, "between those tries", (0, 2**63 - 1)
    )
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "accept labels for versions that are not there yet"
    )
    enable_model_warmup: bool = _flag(
        True, "replay a version's warm-up requests before it serves"
    )
    num_request_iterations_for_warmup: int = _flag(
        1, "replays of each warm-up record", (1, _INT32_MAX)
    )
    enable_signature_method_name_check: bool = _flag(
        False,
        "Classify and Regress check the signature's method name",
        heading="How to answer",
    )
    enable_serialization_as_tensor_content: bool = _flag(
        False, "answer with tensor_content: quicker to decode"
    )
    tensorflow_session_parallelism: int = _flag(
        0, "threads of TensorFlow's: sets both of the next two"
    )
    tensorflow_intra_op_parallelism: int = _flag(
        0, "threads for the work of one operation; 0 leaves it to TensorFlow"
    )
    tensorflow_inter_op_parallelism: int = _flag(
        0,
        "threads for operations that run side by side; 0 leaves it to "
        "TensorFlow",
    )
    monitoring_config_file: str = _flag(
        "",
        "text MonitoringConfig: Prometheus metrics on the REST port",
        heading="What to watch",
    )
    enable_grpc_healthcheck_service: bool = _flag(False, "offer grpc.health.v1")


# Flags of tensorflow_model_server that have no meaning in this server. A
# command line moves from one to the other, so they are read, checked for
# their kind, and told of in a line: what happens here, and the real server's
# defaults.
_UNUSED: dict[str, dict[str, bool | int | float | str]] = {
    "it runs each request by itself; TensorFlow Serving can batch them": {
        "enable_batching": False,
        "batching_parameters_file": "",
        "enable_per_model_batching_parameters": False,
    },
    "models of TensorFlow Lite are not served; saved_model.pb is": {
        "prefer_tflite_model": False,
        "num_tflite_pools": 0,
        "num_tflite_interpreters_per_pool": 0,
    },
    "a graph runs as it was saved": {
        "xla_cpu_compilation_enabled": False,
        "xla_gpu_compilation_enabled": False,
        "mixed_precision": "",
    },
    "TensorFlow's own defaults apply": {
        "per_process_gpu_memory_fraction": 0.0,
        "thread_pool_factory_config_file": "",
        "skip_initialize_tpu": False,
    },
    "answers have no CORS headers; put a proxy that adds them in front": {
        "rest_api_enable_cors_support": False
    },
    "one thread of its own unloads versions": {"num_unload_threads": 0},
    "the caches of the file system are left to the kernel": {
        "flush_filesystem_caches": True
    },
    "sessions are set by the three flags --tensorflow_..._parallelism": {
        "tensorflow_session_config_file": ""
    },
    "the one platform is TensorFlow": {"platform_config_file": ""},
    "of a graph's message only the signatures are kept, always": {
        "remove_unused_fields_from_bundle_metagraph": True
    },
    "there is no profiler service": {"enable_profiler": False},
    "gRPC is plain, or over TLS with --ssl_config_file": {
        "use_alts_credentials": False
    },
    "the server starts": {"version": False},
}
UNUSED_FLAGS = {
    name: why for why, defaults in _UNUSED.items() for name in defaults
}
_FIELDS = dataclasses.fields(Options)
_DEFAULTS: dict[str, Any] = {
    **{field.name: field.default for field in _FIELDS},
    **{k: v for defaults in _UNUSED.values() for k, v in defaults.items()},
}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse_flags(arguments: Sequence[str]) -> Options:
    """Read a command line, without the name of the command.

    `--flag=value`, `--flag value`, and for booleans also `--flag` alone; one
    dash will do. A flag of the real server's that has no meaning here is told
    in a line of the log. A ValueError is an unknown flag, a value of the wrong
    kind, or flags that contradict each other.

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
        if name not in _DEFAULTS:
            hint = did_you_mean(name, _DEFAULTS, "--{}".format)
            raise UserError(
                f"Unknown flag: --{name}.{hint} --help lists the flags."
            )
        is_boolean = isinstance(_DEFAULTS[name], bool)
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
        why = UNUSED_FLAGS[name]
        _LOG.warning("--%s has no effect in this server: %s.", name, why)
    return options


def channel_arguments(text: str) -> dict[str, int | str]:
    """What --grpc_channel_arguments asks for; whole numbers become such.

    A ValueError where it is not `key=value,key=value`.

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
    for field in _FIELDS:
        if heading := field.metadata["heading"]:
            lines.append(f"\n{heading}:")
        default = str(field.default).lower() if field.default != "" else "none"
        lines.append(f"  --{field.name}={default}")
        text = textwrap.fill(field.metadata["meaning"], width=72)
        lines.append(textwrap.indent(text, " " * 6))
    return "\n".join(lines) + "\n"


def _convert(name: str, text: str) -> bool | int | float | str:
    """The value of a flag in its own type."""
    kind = type(_DEFAULTS[name])
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}
    try:
        made: bool | int | float | str = (
            _BOOLEANS[text.lower()] if kind is bool else kind(text)
        )
        return made
    except (KeyError, ValueError):
        raise UserError(
            f"--{name} must be {wanted[kind]}. Received: {text!r}."
        ) from None


def _check(options: Options) -> None:
    """Refuse what cannot work, before anything starts."""
    if not (options.model_base_path or options.model_config_file):
        raise UserError(
            "What to serve must be given. Received: neither "
            "--model_base_path nor --model_config_file. Write "
            "--model_base_path=/absolute/path/to/saved_models/NAME "
            "--model_name=NAME."
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
    for field in _FIELDS:
        between = field.metadata["between"]
        value = getattr(options, field.name)
        is_bounded = type(value) is int and between
        if is_bounded and not between[0] <= value <= between[1]:
            raise UserError(
                f"--{field.name} must be from {between[0]} to {between[1]}. "
                f"Received: {value}."
            )
