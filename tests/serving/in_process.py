"""A client's calls answered by the handlers, without a server."""

from tensorflow_serving.apis import get_model_metadata_pb2

from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.errors import ServingError

_HANDLERS = {
    "Predict": handlers.predict,
    "Classify": handlers.classify,
    "Regress": handlers.regress,
    "GetModelMetadata": handlers.get_model_metadata,
}


def run(call, models):
    """What a call of ClientCore returns.

    Args:
        call: generator of steps.
        models: as the handlers take it.
    """

    def answer(method, request):
        try:
            return _HANDLERS[method](models, request)
        except ServingError as error:
            raise PredictError(
                error.message, error.code, error.message, "here"
            ) from error

    return drive(call, answer)


def drive(call, answer):
    """What a call returns.

    Args:
        call: generator of steps.
        answer: callable. `(method, request)` to a response; may raise
            PredictError.
    """
    try:
        step = next(call)
        while True:
            messages = list(step.messages)
            assert len(messages) == step.count
            try:
                answers = [answer(step.method, m) for m in messages]
            except PredictError as error:
                step = call.throw(error)
            else:
                step = call.send(answers)
    except StopIteration as end:
        return end.value


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
