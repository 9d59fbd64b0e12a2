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

_LOG = logging.getLogger(__name__)
_INT32_MAX = 2**31 - 1


def _flag(
    default: bool | int | str,
    meaning: str,
    between: tuple[int, int] | None = None,
    heading: str = "",
) -> Any:
    """A flag: what the help says of it, and which numbers it takes.

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

    Example:
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
        0, "read it again this often; 0 never"
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
        heading="How versions come and go",
    )
    num_load_threads: int = _flag(
        0, "versions loaded at once; 0 means 1", (0, 1024)
    )
    max_num_load_retries: int = _flag(
        5, "tries after a load has failed", (0, _INT32_MAX)
    )
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
        0, "threads of TensorFlow's: sets both of the next two", (0, _INT32_MAX)
    )
    tensorflow_intra_op_parallelism: int = _flag(
        0,
        "threads for the work of one operation; 0 leaves it to TensorFlow",
        (0, _INT32_MAX),
    )
    tensorflow_inter_op_parallelism: int = _flag(
        0,
        "threads for operations that run side by side; 0 leaves it to "
        "TensorFlow",
        (0, _INT32_MAX),
    )
    monitoring_config_file: str = _flag(
        "",
        "text MonitoringConfig: Prometheus metrics on the REST port",
        heading="What to watch",
    )
    enable_grpc_healthcheck_service: bool = _flag(False, "offer grpc.health.v1")


_BATCHING = "it runs each request by itself; TensorFlow Serving can batch them"
_TFLITE = "models of TensorFlow Lite are not served; saved_model.pb is"
_XLA = "a graph runs as it was saved"

# Flags of tensorflow_model_server that have no meaning in this server. A
# command line moves from one to the other, so they are read, checked for
# their kind, and told of in a line: the real server's default, and what
# happens here in place of it.
UNUSED_FLAGS: dict[str, tuple[bool | int | float | str, str]] = {
    "enable_batching": (False, _BATCHING),
    "batching_parameters_file": ("", _BATCHING),
    "enable_per_model_batching_parameters": (False, _BATCHING),
    "rest_api_enable_cors_support": (
        False,
        "answers have no CORS headers; put a proxy that adds them in front",
    ),
    "num_unload_threads": (0, "one thread of its own unloads versions"),
    "flush_filesystem_caches": (
        True,
        "the caches of the file system are left to the kernel",
    ),
    "tensorflow_session_config_file": (
        "",
        "sessions are set by the three flags --tensorflow_..._parallelism",
    ),
    "platform_config_file": ("", "the one platform is TensorFlow"),
    "per_process_gpu_memory_fraction": (
        0.0,
        "TensorFlow takes the memory of the GPUs as it does by default",
    ),
    "remove_unused_fields_from_bundle_metagraph": (
        True,
        "of a graph's message only the signatures are kept, always",
    ),
    "prefer_tflite_model": (False, _TFLITE),
    "num_tflite_pools": (0, _TFLITE),
    "num_tflite_interpreters_per_pool": (0, _TFLITE),
    "xla_cpu_compilation_enabled": (False, _XLA),
    "xla_gpu_compilation_enabled": (False, _XLA),
    "enable_profiler": (False, "there is no profiler service"),
    "thread_pool_factory_config_file": (
        "",
        "runs share TensorFlow's own thread pools",
    ),
    "mixed_precision": ("", "a graph runs in the precision it was saved in"),
    "skip_initialize_tpu": (False, "there are no TPUs"),
    "use_alts_credentials": (
        False,
        "gRPC is plain, or over TLS with --ssl_config_file",
    ),
    "version": (False, "the server starts"),
}

_FIELDS = dataclasses.fields(Options)
_DEFAULTS: dict[str, Any] = {
    **{field.name: field.default for field in _FIELDS},
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
        if name not in _DEFAULTS:
            raise UserError(_unknown(name))
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
        _LOG.warning(
            "--%s has no effect in this server: %s.",
            name,
            UNUSED_FLAGS[name][1],
        )
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
    for field in _FIELDS:
        if heading := field.metadata["heading"]:
            lines.append(f"\n{heading}:")
        default = _DEFAULTS[field.name]
        shown = str(default).lower() if default != "" else "none"
        lines.append(f"  --{field.name}={shown}")
        indent = " " * 6
        lines += textwrap.wrap(
            field.metadata["meaning"],
            width=78,
            initial_indent=indent,
            subsequent_indent=indent,
        )
    return "\n".join(lines) + "\n"


def _convert(name: str, text: str) -> bool | int | float | str:
    """The value of a flag in its own type."""
    default = _DEFAULTS[name]
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
    near = difflib.get_close_matches(name, _DEFAULTS, n=1)
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
        lowest, highest = field.metadata["between"] or (None, None)
        value = getattr(options, field.name)
        if lowest is not None and not lowest <= value <= highest:
            raise UserError(
                f"--{field.name} must be from {lowest} to {highest}. "
                f"Received: {value}."
            )
