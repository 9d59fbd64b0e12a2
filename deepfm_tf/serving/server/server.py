"""A model server in one object: models, gRPC, REST, metrics."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.engine.handlers import warm_up
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.ports import bind
from deepfm_tf.serving.server.config import (
    METRICS_PATH,
    message_type,
    read_server_credentials,
    read_text_proto,
    single_model_config,
)
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.grpc_server import GrpcServer
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

if TYPE_CHECKING:
    from deepfm_tf.serving.server.rest_server import RestServer

# Kubernetes kills 30 seconds after it has asked.
GRACE_SECONDS = 25
_LOOK_SECONDS = 0.2

_LOG = logging.getLogger(__name__)


class Server:
    """TensorFlow Serving's API over SavedModels, in this process.

    As with the real one, the ports open when every model has a version
    available: a port that answers is a server that serves.

    Args:
        options: `Options`. What to serve, where and how.

    Attributes:
        store: `ModelStore`. The models.
        metrics: `Metrics`. What was counted.
        port: int. Of gRPC, once started; also where the option was 0.
        rest_port: int. Of REST, once started; 0 without.
        metrics_path: str or None. Of the metrics, on the REST port.
        is_asked_to_stop: bool. Whether `ask_to_stop` was called.

    Raises:
        ValueError: a file that the options name cannot be read or parsed.

    Example:
        options = Options(
            port=0, model_name="ctr", model_base_path="saved_models/ctr"
        )
        with Server(options) as server:
            channel = grpc.insecure_channel(f"localhost:{server.port}")
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.port = 0
        self.rest_port = 0
        self.metrics = Metrics()
        self._config = self._read_config()
        self._credentials = read_server_credentials(options.ssl_config_file)
        self.metrics_path = _metrics_path(options.monitoring_config_file)
        self.is_asked_to_stop = False
        self._stopping = threading.Event()
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None
        self._config_poller: threading.Thread | None = None
        retry_seconds = options.load_retry_interval_micros / 1e6
        self.store = ModelStore(
            self._load,
            options.file_system_poll_wait_seconds,
            options.num_load_threads,
            options.max_num_load_retries,
            retry_seconds,
            options.allow_version_labels_for_unavailable_models,
        )

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, timeout: float | None = None) -> None:
        """Load the models, then open the ports.

        Args:
            timeout: float. Seconds to wait for the models; None waits until
                they are there or `ask_to_stop` is called.

        Raises:
            ServingError: the configuration is refused, or no version of a
                model could be loaded (in time).
            ValueError: a port is taken, or an option cannot be used.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            # A port that is taken is told now, not after a long load.
            bind(self.options.port, "--port").close()
            bind(max(self.options.rest_api_port, 0), "--rest_api_port").close()
            self.store.reload(
                self._config,
                lambda: (
                    self.is_asked_to_stop
                    or self._stopping.is_set()
                    or (end is not None and time.monotonic() > end)
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

        Args:
            grace: float. Seconds that requests under way have.
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
            status = "OK"
            begin = time.perf_counter()
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
                    _LOG.error("The old configuration stays: %s", complaint)


def _metrics_path(monitoring_config_file: str) -> str | None:
    """Where to serve the metrics; None for nowhere."""
    if not monitoring_config_file:
        return None
    monitoring: Any = read_text_proto(
        monitoring_config_file, message_type("MonitoringConfig")()
    )
    if not monitoring.prometheus_config.enable:
        return None
    return monitoring.prometheus_config.path or METRICS_PATH
