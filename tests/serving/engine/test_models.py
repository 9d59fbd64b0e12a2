"""The model that a request names, and what the answer says of it."""

from tensorflow_serving.apis import model_pb2

from deepfm_tf.serving.engine.models import answered_spec


def test_the_answer_names_version_and_signature(toy_models):
    with toy_models.acquire(model_pb2.ModelSpec(name="toy")) as loaded:
        default = answered_spec(loaded, "")
        named = answered_spec(loaded, "regress")
        none = answered_spec(loaded, None)

    assert default.signature_name == "serving_default"
    assert named.signature_name == "regress"
    assert none.signature_name == ""
    assert none.version.value == 1
    assert none.name == "toy"
