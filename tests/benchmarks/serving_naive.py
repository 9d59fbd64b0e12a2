"""A naive server, to compare with: what a first attempt looks like.

    python -m tests.benchmarks.serving_naive VERSION_DIRECTORY

Every TensorProto to numpy and to a tensor, then the loaded signature. Prints
its port when it is ready.
"""

import sys
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class NaivePredictionService(
    prediction_service_pb2_grpc.PredictionServiceServicer
):
    """Predict alone.

    Args:
        directory: of the SavedModel.
    """

    def __init__(self, directory: str) -> None:
        self._loaded = tf.saved_model.load(directory)

    def Predict(self, request, context):  # noqa: N802
        """Answer one request."""
        name = request.model_spec.signature_name or "serving_default"
        answers = self._loaded.signatures[name](
            **{
                alias: tf.constant(tf.make_ndarray(proto))
                for alias, proto in request.inputs.items()
            }
        )
        response = predict_pb2.PredictResponse()
        for alias, tensor in answers.items():
            response.outputs[alias].CopyFrom(
                tf.make_tensor_proto(tensor.numpy())
            )
        return response


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        NaivePredictionService(sys.argv[1]), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
