"""`deepfm-tf serve`: a model server from the command line."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from deepfm_tf.backend import notices_kept_back
from deepfm_tf.errors import did_you_mean
from deepfm_tf.extras import install_hint, missing
from deepfm_tf.shell import command_line
from deepfm_tf.version import __version__

if TYPE_CHECKING:
    from deepfm_tf.serving.server.flags import Options
    from deepfm_tf.serving.server.server import Server

USAGE = """\
Serve SavedModels over TensorFlow Serving's gRPC and REST API.

  {serve} --model_name=NAME --model_base_path=DIRECTORY
  {predict} --help    ask a server for predictions
  {config} --help     files for the real server

The flags are tensorflow_model_server's. DIRECTORY holds a directory for each
version, named by its number.
"""
COMMANDS = {
    "predict": "deepfm_tf.serving.client.predict_command",
    "config": "deepfm_tf.serving.config_command",
}
_FILES = ("model_config_file", "monitoring_config_file", "ssl_config_file")
# What the shell and supervisors see; the last one after Ctrl-C.
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(
    arguments: Sequence[str] | None = None, command: str = "deepfm-tf serve"
) -> int:
    """Run the command, which the user called so; its exit status.

    That is 0 after an orderly stop, 1 where the server could not start or
    serve, 2 for a wrong command line, 130 after Ctrl-C before it was there.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(argv, command)
    except KeyboardInterrupt:
        return _told("\nStopped.", EXIT_INTERRUPTED)


def _run(argv: Sequence[str], command: str) -> int:
    """The command that the line asks for; its exit status."""
    if argv[:1] and argv[0] in COMMANDS:
        module = importlib.import_module(COMMANDS[argv[0]])
        status: int | None = module.main(argv[1:], _beside(command, argv[0]))
        return status or EXIT_OK
    if hint := did_you_mean("".join(argv[:1]), COMMANDS, str):
        return _told(
            f"Unknown command: {argv[0]}.{hint} See --help.",
            EXIT_USAGE,
        )
    from deepfm_tf.serving.server.flags import help_text, parse_flags

    if any(flag in argv for flag in ("--help", "-h", "-help")):
        commands = {name: _beside(command, name) for name in COMMANDS}
        usage = USAGE.format(serve=command, **commands)
        print(usage + help_text(), end="")
        return EXIT_OK
    if any(flag in argv for flag in ("--version", "-version")):
        print(f"deepfm-tf {__version__}")
        return EXIT_OK
    try:
        options = parse_flags(argv)
    except ValueError as error:
        return _told(error, EXIT_USAGE)
    if missing("serving"):
        return _told(install_hint("The server needs", "serving"), EXIT_FAILED)
    for flag in _FILES:
        path = getattr(options, flag)
        if path and not os.path.exists(path):
            return _told(
                f"--{flag} must be a file. Received: {path}, which is not "
                "there. Check the path.",
                EXIT_FAILED,
            )
    base = options.model_base_path
    if base and "://" not in base and not os.path.isdir(base):
        print(
            f"There is no directory {base} yet. The server waits for it; "
            "Ctrl-C ends that.",
            file=sys.stderr,
        )
    return serve(options, command)


def _told(error: object, status: int) -> int:
    """The exit status, once the user is told why."""
    print(error, file=sys.stderr)
    return status


def _beside(command: str, name: str) -> str:
    """How a command is called by one who has called the server so."""
    return f"{command.removesuffix(' serve')} {name}"


def serve(options: Options, command: str) -> int:
    """Serve until a signal comes."""
    # TensorFlow takes seconds to import, a wrong command line none.
    with notices_kept_back():
        from deepfm_tf.serving.errors import ServingError, one_line
        from deepfm_tf.serving.server.server import Server

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    # The first names each file that it restores, the other its own steps.
    for name in ("tensorflow", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        server = Server(options)
    except ValueError as error:
        return _told(error, EXIT_FAILED)
    stop_on_signals(server)
    try:
        server.start()
    except (ServingError, ValueError) as error:
        if server.is_asked_to_stop:
            return EXIT_OK
        return _told(
            f"Failed to start server. Error: {one_line(error)}", EXIT_FAILED
        )
    # What lives now lives to the end: a collection that follows the unload
    # of a version need not look at it, which would hold requests up.
    gc.freeze()
    print(announcement(server, command), flush=True)
    server.wait()
    print(
        "Finishing the requests in progress; press Ctrl-C again to drop them."
    )
    server.stop()
    print("Stopped.")
    return EXIT_OK


def stop_on_signals(server: Server) -> None:
    """The first signal drains, the second one ends at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if server.is_asked_to_stop:
            os._exit(128 + number)
        server.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def announcement(server: Server, command: str) -> str:
    """What is served, where, and what to type next."""
    from deepfm_tf.serving.server.example_call import curl_line

    names = sorted(server.store.names())
    lines = [f"Serving {', '.join(names)}", f"  gRPC  localhost:{server.port}"]
    if server.options.grpc_socket_path:
        lines.append(f"  gRPC  unix:{server.options.grpc_socket_path}")
    if server.rest_port:
        address = f"http://localhost:{server.rest_port}"
        lines.append(f"  REST  {address}/v1/models/{names[0]}")
        if server.metrics_path:
            lines.append(f"  Metrics  {address}{server.metrics_path}")
    predict = command_line(
        *_beside(command, "predict").split(),
        *("--address", f"localhost:{server.port}"),
        *("--model_name", names[0], "--input", "rows.csv"),
    )
    lines.append(f"Next, in another terminal: {predict}")
    if server.rest_port:
        line = curl_line(server.store, names[0], server.rest_port)
        lines += [f"Or, for one row: {line}"] if line else []
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(command="python -m deepfm_tf.serving"))
