"""Flags of tensorflow_model_server that have no meaning in this server.

A command line moves from one to the other: they are read, checked for their
kind, and told of in a line.
"""

from __future__ import annotations

_TFLITE = "models of TensorFlow Lite are not served; saved_model.pb is"
_XLA = "a graph runs as it was saved"

# Name -> the real server's default, what happens here in place of it.
UNUSED_FLAGS: dict[str, tuple[bool | int | float | str, str]] = {
    "rest_api_enable_cors_support": (
        False,
        "answers have no CORS headers; put a proxy that adds them in front",
    ),
    "enable_per_model_batching_parameters": (
        False,
        "batching_params.pbtxt of a version is not read; "
        "--batching_parameters_file holds for all models",
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


def unused_line(name: str) -> str:
    """What to tell of one that is given.

    >>> unused_line("skip_initialize_tpu")
    '--skip_initialize_tpu has no effect in this server: there are no TPUs.'
    """
    return f"--{name} has no effect in this server: {UNUSED_FLAGS[name][1]}."
