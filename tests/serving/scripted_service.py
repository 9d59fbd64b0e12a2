"""A small gRPC service on the official stubs, whose answers tests write."""

import contextlib
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TEXT, FLOAT, INT = tf.string, tf.float32, tf.int64


def signature_def(inputs, outputs, defaults=()):
    """A SignatureDef; each input and output is (dtype, shape)."""
    result = tf.compat.v1.MetaGraphDef().signature_def["x"]
    result.method_name = "tensorflow/serving/predict"
    for ours, theirs in ((inputs, result.inputs), (outputs, result.outputs)):
        for name, (dtype, shape) in ours.items():
            theirs[name].name = f"{name}:0"
            theirs[name].dtype = dtype.as_datatype_enum
            theirs[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    for name in defaults:
        result.defaults[name].dtype = inputs[name][0].as_datatype_enum
    return result


class ScriptedService(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Answers as `answer` says; remembers every request.

    `versions` and `failures` are consumed one a request; when they are used
    up, the version is `version` and nothing fails.
    """

    def __init__(self, signatures, answer):
        self.signatures = signatures
        self.answer = answer
        self.version = 1
        self.versions = []
        self.failures = []
        self.requests = []
        self.metadata_reads = 0
        self.as_content = True
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def _next(self, request, context):
        with self._lock:
            self.requests.append(request)
            failure = self.failures.pop(0) if self.failures else None
            version = self.versions.pop(0) if self.versions else self.version
        if failure is not None:
            context.abort(*failure)
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
        return version

    def Predict(self, request, context):  # noqa: N802
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            version = self._next(request, context)
            inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            for name, array in self.answer(inputs).items():
                if request.output_filter and name not in request.output_filter:
                    continue
                response.outputs[name].CopyFrom(self._proto(array))
            return response
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            with self._lock:
                self._at_once -= 1

    def _proto(self, array):
        if self.as_content or array.dtype != np.float32:
            return tf.make_tensor_proto(array)
        return tf.make_tensor_proto(array.tolist(), shape=array.shape)

    def Classify(self, request, context):  # noqa: N802
        response = classification_pb2.ClassificationResponse()
        response.model_spec.version.value = self._next(request, context)
        for example in request.input.example_list.examples:
            row = response.result.classifications.add()
            value = example.features.feature["n"].float_list.value[0]
            row.classes.add(label="no", score=1 - value)
            row.classes.add(label="yes", score=value)
        return response

    def Regress(self, request, context):  # noqa: N802
        response = regression_pb2.RegressionResponse()
        response.model_spec.version.value = self._next(request, context)
        for example in request.input.example_list.examples:
            value = example.features.feature["n"].float_list.value[0]
            response.result.regressions.add(value=value)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        self.metadata_reads += 1
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = self.version
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self.signatures.items():
            found.signature_def[name].CopyFrom(definition)
        found.signature_def["__saved_model_init_op"].method_name = ""
        response.metadata["signature_def"].Pack(found)
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        response = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.State
        response.model_version_status.add(version=1, state=state.END)
        response.model_version_status.add(version=2, state=state.AVAILABLE)
        return response


@contextlib.contextmanager
def served(service, credentials=None, port=0):
    """Serve on a port of this machine, or a free one; gives its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=_UNLIMITED)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        service, server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    if credentials is None:
        port = server.add_insecure_port(f"localhost:{port}")
    else:
        port = server.add_secure_port(f"localhost:{port}", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait(60)


_UNLIMITED = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
