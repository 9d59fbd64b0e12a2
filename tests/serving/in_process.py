"""A client's calls answered by the handlers, without a server."""

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
    answers = None
    try:
        step = next(call)
        while True:
            handle = _HANDLERS[step.method]
            try:
                answers = [handle(models, request) for request in step.messages]
            except ServingError as error:
                step = call.throw(
                    PredictError(
                        error.message, error.code, error.message, "here"
                    )
                )
            else:
                step = call.send(answers)
    except StopIteration as end:
        return end.value
