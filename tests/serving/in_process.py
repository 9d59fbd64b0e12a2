"""A client's calls answered by the handlers, without a server."""

from tensorflow_serving.apis import get_model_metadata_pb2

from deepfm_tf.serving.client.calls import Call, Model
from deepfm_tf.serving.client.channel import PredictError
from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.signature import Target

_HANDLERS = {
    "Predict": handlers.predict,
    "Classify": handlers.classify,
    "Regress": handlers.regress,
    "GetModelMetadata": handlers.get_model_metadata,
}


class InProcessClient:
    """Makes a client's calls.

    Args:
        answer: callable. `(method, request)` to a response; may raise
            PredictError.
        max_rows: int. Rows of a request at most.
    """

    def __init__(self, answer, max_rows=100):
        self.answer = answer
        self._model = Model("toy", "host:1", max_rows)

    def predict(self, data, target=None, outputs=None):
        return self._run("serving_default", target, "predict", data, outputs)

    def metadata(self):
        return self._run("serving_default", None, "metadata")

    def rank(self, context, candidates):
        return self._run("rank", None, "rank", context, candidates, None)

    def classify(self, rows):
        return self._run("classify", None, "classify", rows)

    def regress(self, rows):
        return self._run("regress", None, "regress", rows)

    def _run(self, signature, target, method, *arguments):
        call = Call(self._model, target or Target(signature), self._send)
        try:
            getattr(call, method)(*arguments).send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("It waits for something else than `send`.")

    async def _send(self, method, messages, count):
        messages = list(messages)
        assert len(messages) == count
        return [self.answer(method, message) for message in messages]


def handled_by(models):
    """Answers of the handlers."""

    def answer(method, request):
        try:
            return _HANDLERS[method](models, request)
        except ServingError as error:
            raise PredictError(
                error.message, error.code, error.message, "here"
            ) from error

    return answer


def metadata_response(signatures, version):
    """What a server says of a version.

    Args:
        signatures: dict. Name -> SignatureDef.
        version: int.
    """
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.version.value = version
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in signatures.items():
        found.signature_def[name].CopyFrom(definition)
    response.metadata["signature_def"].Pack(found)
    return response
