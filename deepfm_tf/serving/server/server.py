"""A model server in one object: models, gRPC, REST, metrics."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    text_format,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from deepfm_tf.errors import UserError
from deepfm_tf.serving.connections import bind, server_credentials
from deepfm_tf.serving.engine.handlers import warm_up
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.grpc_server import GrpcServer
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

if TYPE_CHECKING:
    from deepfm_tf.serving.server.rest_server import RestServer

# Kubernetes kills 30 seconds after it has asked.
GRACE_SECONDS = 25
_LOOK_SECONDS = 0.2
_METRICS_PATH = "/monitoring/prometheus/metrics"
_LOG = logging.getLogger(__name__)
_Message = TypeVar("_Message", bound=message.Message)
_PACKAGE = "tensorflow.serving"
# The official package has no Python for these files. Text format knows fields
# by name, so that the numbers are ours.
_MESSAGES = {
    "PrometheusConfig": {"enable": "TYPE_BOOL", "path": "TYPE_STRING"},
    "MonitoringConfig": {"prometheus_config": f".{_PACKAGE}.PrometheusConfig"},
    "SSLConfig": {
        "server_key": "TYPE_STRING",
        "server_cert": "TYPE_STRING",
        "custom_ca": "TYPE_STRING",
        "client_verify": "TYPE_BOOL",
    },
}


class Server:
    """TensorFlow Serving's API over SavedModels, in this process.

    As with the real one, the ports open when every model has a version
    available: a port that answers is a server that serves.

    A ValueError where a file that the options name cannot be read or parsed.

    Attributes:
        store, metrics: the models, and what was counted.
        port: int. Of gRPC, once started; also where the option was 0.
        rest_port: int. Of REST, once started; 0 without.
        metrics_path: str or None. Of the metrics, on the REST port.
        is_asked_to_stop: bool. Whether `ask_to_stop` was called.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.port = 0
        self.rest_port = 0
        self.metrics = Metrics()
        self._config = self._read_config()
        self._credentials = self.metrics_path = None
        if path := options.ssl_config_file:
            tls = read_text_proto(path, message_type("SSLConfig")())
            self._credentials = server_credentials(tls, path)
        if path := options.monitoring_config_file:
            monitoring = read_text_proto(
                path, message_type("MonitoringConfig")()
            ).prometheus_config
            if monitoring.enable:
                self.metrics_path = monitoring.path or _METRICS_PATH
        self.is_asked_to_stop = False
        self._stopping = threading.Event()
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None
        self._config_poller: threading.Thread | None = None
        self.store = ModelStore(
            self._load,
            options.file_system_poll_wait_seconds,
            options.num_load_threads,
            options.max_num_load_retries,
            options.load_retry_interval_micros / 1e6,
            options.allow_version_labels_for_unavailable_models,
        )

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, timeout: float | None = None) -> None:
        """Load the models, then open the ports.

        So many seconds, or without a timeout until `ask_to_stop`, it waits for
        the models. A ServingError tells that the configuration is refused, or
        no version of a model could be loaded (in time); a ValueError, that a
        port is taken or an option cannot be used.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            # A port that is taken is told now, not after a long load.
            bind(self.options.port, "--port").close()
            bind(max(self.options.rest_api_port, 0), "--rest_api_port").close()
            self.store.reload(
                self._config,
                lambda: (
                    self.is_asked_to_stop
                    or self._stopping.is_set()
                    or time.monotonic() > end
                ),
            )
            self._grpc = GrpcServer(
                self.store, self.options, self.metrics, self._credentials
            )
            if self.options.rest_api_port:
                # Its packages take a while to import; gRPC alone needs none.
                from deepfm_tf.serving.server.rest_server import RestServer

                self._rest = RestServer(
                    self.store,
                    self.options,
                    self.metrics,
                    self.metrics_path,
                    GRACE_SECONDS,
                )
                self._rest.start()
                self.rest_port = self._rest.port
            self._grpc.start()
            self.port = self._grpc.port
        except BaseException:
            self.stop(grace=0)
            raise
        if self.options.model_config_file_poll_wait_seconds > 0:
            self._config_poller = threading.Thread(
                target=self._poll_config, name="poll-config", daemon=True
            )
            self._config_poller.start()

    def ask_to_stop(self) -> None:
        """Have `wait` return, and `start` where it still waits.

        For signal handlers: it takes no lock, which the interrupted code
        might hold.
        """
        self.is_asked_to_stop = True

    def wait(self) -> None:
        """Serve until `ask_to_stop` is called."""
        while not self.is_asked_to_stop:
            time.sleep(_LOOK_SECONDS)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Take no more requests, finish those under way, unload all.

        Those have `grace` seconds for it.
        """
        self._stopping.set()
        if self._rest:
            self._rest.ask_to_stop()
        ended = self._grpc.stop(grace) if self._grpc else None
        if self._rest:
            self._rest.stop()
        if ended:
            ended.wait()
        if self._config_poller:
            self._config_poller.join()
        self.store.stop(timeout=grace)

    def _load(self, path: Path) -> Servable:
        """Load a version and warm it up, with the times taken."""
        options, is_loaded = self.options, False
        both = options.tensorflow_session_parallelism
        begin = time.perf_counter()
        try:
            servable = Servable(
                path,
                both or options.tensorflow_intra_op_parallelism,
                both or options.tensorflow_inter_op_parallelism,
                options.saved_model_tags.split(","),
            )
            is_loaded = True
        finally:
            seconds = time.perf_counter() - begin
            self.metrics.add_load(str(path), is_loaded, seconds)
        if options.enable_model_warmup:
            status, begin = "OK", time.perf_counter()
            try:
                warm_up(servable, options.num_request_iterations_for_warmup)
            except ServingError as error:
                status = error.code.name
                servable.close()
                raise
            finally:
                seconds = time.perf_counter() - begin
                self.metrics.add_warmup(str(path), status, seconds)
        return servable

    def _read_config(self) -> ModelServerConfig:
        """The models of the options, from the file or the two flags."""
        options = self.options
        if options.model_config_file:
            return read_text_proto(
                options.model_config_file, ModelServerConfig()
            )
        return single_model_config(options.model_name, options.model_base_path)

    def _poll_config(self) -> None:
        """Take over what the configuration file says whenever it changes."""
        wait = self.options.model_config_file_poll_wait_seconds
        complaint = ""
        while not self._stopping.wait(wait):
            try:
                config = self._read_config()
                if config != self._config:
                    self.store.reload(config, self._stopping.is_set)
                    self._config = config
                complaint = ""
            except (ValueError, ServingError) as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _LOG.error("The old configuration is kept: %s", complaint)


def message_type(name: str) -> Any:
    """The class of one of TensorFlow Serving's own configuration messages."""
    file: Any = descriptor_pb2.FileDescriptorProto(
        name="config.proto", package=_PACKAGE, syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        described = file.message_type.add(name=message_name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            of_kind = {"type_name" if kind[0] == "." else "type": kind}
            described.field.add(
                name=field, number=number, label="LABEL_OPTIONAL", **of_kind
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    )


def read_text_proto(path: str | os.PathLike[str], into: _Message) -> _Message:
    """Fill a message from a file in protobuf's text format, and return it."""
    name = into.DESCRIPTOR.full_name
    try:
        with open(path, encoding="utf-8") as file:
            text_format.Parse(file.read(), into)
    except OSError as error:
        raise UserError(
            f"The {name} file must be readable. Received: {path} "
            f"({error.strerror}). Check the path."
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        # The first five words are what the real server prints.
        raise UserError(
            f"Error parsing text-format {name}: {path}:{error}. "
            "The file must be such a message in protobuf's text format."
        ) from error
    return into


def single_model_config(name: str, base_path: str) -> ModelServerConfig:
    """What --model_name and --model_base_path mean.

    A relative path counts from the current directory.
    """
    if "://" not in base_path:
        base_path = os.path.abspath(base_path)
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=base_path, model_platform="tensorflow"
    )
    return config
