"""The signature `explain`: against the Explainer, and the model itself."""

import shutil

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.export import explain
from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.signatures import traced_encode
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.serving import PredictClient
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.catalogue import MODELS, build
from tests.export.conftest import raw_of
from tests.export.test_signatures import constants
from tests.serving.rest_client import call
from tests.test_conformance import randomize

NAMES = ("a", "b", "c")
SMALL = {"a": list("uvuw"), "b": list("xyzx"), "c": list("rrss")}


@pytest.fixture(scope="module")
def answer(loaded, odd_log):
    """What the signature says of `odd_log`."""
    outputs = loaded.signatures["explain"](**constants(raw_of(odd_log)))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.fixture(scope="module")
def small_vocabulary():
    fields = tuple(
        deepfm_tf.CategoricalField(name, min_count=1) for name in NAMES
    )
    return deepfm_tf.fit_vocabulary(
        {**SMALL, "y": [0, 1, 0, 1]}, deepfm_tf.Schema(fields, "y")
    )


def small_signature(
    name, vocabulary, tmp_path, defaults=None, calibration=None
):
    """A model called `name`, and its signature, not yet saved."""
    # The odds are those of all rows, not of the sampled ones.
    model = build(name, vocabulary.schema, negative_sampling=0.1)
    randomize(model)
    explainer = deepfm_tf.Explainer(
        model, [deepfm_tf.encode(SMALL, vocabulary)]
    )
    lookup = GraphLookup(vocabulary, tmp_path / "values.txt")
    return model, explain.explain_signature(
        traced_encode(lookup, vocabulary.schema),
        *(explainer, defaults or {}, calibration),
    )


def ask(signature, columns):
    outputs = signature.function(
        constants({n: np.array(v, object) for n, v in columns.items()})
    )
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def sum_of_terms(answer):
    return (
        answer["bias"]
        + answer["baseline"]
        + np.sum(answer["contributions"], axis=1)
    )


def test_raw_rows_are_explained_as_the_explainer_does(
    answer, explainer, odd_log, vocabulary
):
    result = explainer.explain(deepfm_tf.encode(odd_log, vocabulary))

    for name in ("logit", "contributions", "first_order", "deep", "pairs"):
        np.testing.assert_allclose(
            answer[name], getattr(result, name), atol=1e-5
        )
    assert np.abs(answer["deep"]).max() > 1e-2


def test_contributions_add_up_to_the_logit(answer):
    # The Explainer's tolerance, and float32.
    np.testing.assert_allclose(
        sum_of_terms(answer), answer["logit"], atol=1.2e-4
    )
    np.testing.assert_allclose(
        sum_of_terms(answer) + answer["completeness_error"],
        answer["logit"],
        atol=1e-5,
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_its_own_logit_is_made_of(
    name, small_vocabulary, tmp_path
):
    model, signature = small_signature(name, small_vocabulary, tmp_path)

    answer = ask(signature, SMALL)

    packed = deepfm_tf.encode(SMALL, small_vocabulary)
    p = model(packed)["probability"].numpy()[:, 0].astype(np.float64)
    np.testing.assert_allclose(answer["probability"], p, atol=1e-6)
    np.testing.assert_allclose(answer["logit"], np.log(p / (1 - p)), atol=1e-4)
    np.testing.assert_allclose(sum_of_terms(answer), answer["logit"], atol=1e-4)
    assert ("pairs" in answer) == (name in ("FM", "DeepFM"))
    assert ("deep" in answer) == (name in ("DeepFM", "NFM", "WideAndDeep"))


def test_a_calibration_changes_the_probability_not_the_logit(
    small_vocabulary, tmp_path
):
    label = np.tile([0, 0, 0, 1, 1, 1, 0, 1], 25)
    p = np.tile(4 * [0.1] + 4 * [0.4], 25)
    calibration = deepfm_tf.calibration.fit_calibration(label, p, "temperature")
    signatures = [
        small_signature("FM", small_vocabulary, tmp_path, calibration=c)[1]
        for c in (None, calibration)
    ]

    plain, calibrated = (ask(signature, SMALL) for signature in signatures)

    np.testing.assert_allclose(
        calibrated["probability"],
        calibration(plain["probability"]),
        atol=1e-6,
    )
    gap = np.abs(calibrated["probability"] - plain["probability"])
    assert gap.max() > 1e-3
    np.testing.assert_allclose(
        sum_of_terms(calibrated), calibrated["logit"], atol=1e-4
    )


def test_a_field_with_a_default_may_be_left_out(small_vocabulary, tmp_path):
    _, signature = small_signature("FM", small_vocabulary, tmp_path, {"b": "z"})

    assert signature.defaults == {"b": "z"}
    # As TensorFlow Serving feeds it: one value for all rows.
    left_out, given = (
        ask(signature, SMALL | {"b": ["z"] * rows})["contributions"]
        for rows in (1, 4)
    )
    np.testing.assert_array_equal(left_out, given)


@pytest.mark.long
def test_the_local_server_serves_it_over_grpc_and_rest(
    exported, odd_log, answer, tmp_path
):
    # Without the warm-up requests, which take longer than these.
    shutil.copytree(
        exported, tmp_path / "1", ignore=lambda *_: ["assets.extra"]
    )
    rows = odd_log.head(5).drop(columns="clicked")
    options = Options(
        port=0,
        rest_api_port=-1,
        model_name="deepfm",
        model_base_path=str(tmp_path),
    )
    with Server(options) as server:
        with PredictClient(f"localhost:{server.port}") as client:
            over_grpc = client.predict(rows, signature="explain")
        _, body = call(
            server.rest_port,
            "/v1/models/deepfm:predict",
            {
                "signature_name": "explain",
                "instances": rows.to_dict("records"),
            },
        )

    for name, term in answer.items():
        over_rest = [row[name] for row in body["predictions"]]
        np.testing.assert_allclose(over_grpc[name], term[:5], atol=2e-5)
        np.testing.assert_allclose(over_rest, term[:5], atol=2e-5)


@pytest.mark.parametrize("term", ["contributions", "first_order", "pairs"])
def test_wrong_terms_are_not_published(term, explainer, vocabulary):
    rows = Rows.make(vocabulary, 100).head(3)
    request = Request("explain", rows, {})
    outputs = {
        name: np.array(value) for name, value in explainer(rows.packed).items()
    }
    explain.check_terms(explainer, request, outputs)
    outputs[term][1, 2] += 0.01

    with pytest.raises(RuntimeError, match=f"'explain': `{term}` that differ"):
        explain.check_terms(explainer, request, outputs)


def test_an_explainer_of_another_model_is_refused(small_vocabulary, tmp_path):
    models = [build("FM", small_vocabulary.schema) for _ in range(2)]
    explainer = deepfm_tf.Explainer(models[0])

    with pytest.raises(ValueError, match="must explain the model that is exp"):
        deepfm_tf.export_saved_model(
            models[1], small_vocabulary, tmp_path, explainer=explainer
        )


def test_a_table_in_16_bits_is_not_explained(
    model, vocabulary, explainer, tmp_path
):
    with pytest.raises(ValueError, match="Leave one of the two out"):
        deepfm_tf.export_saved_model(
            model,
            vocabulary,
            tmp_path,
            explainer=explainer,
            table_dtype="bfloat16",
        )


def test_another_object_is_refused(model, vocabulary, tmp_path):
    with pytest.raises(TypeError, match="must be a deepfm_tf.Explainer"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path, explainer=[])
