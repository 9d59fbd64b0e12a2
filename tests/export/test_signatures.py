"""Every signature says what the model says, in Python and in C++."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.export.signatures import fill_rows
from tests import saved_model_c_api
from tests.conftest import make_log, unchecked
from tests.export.conftest import (
    CONTEXT,
    NUMBERS,
    TEXTS,
    clicks,
    definitions,
    examples_of,
    matrices_of,
    raw_of,
)
from tests.export.operations import new_among, operations
from tests.test_conformance import randomize

PLAIN = ("serving_default", "packed", "ids", "classify", "regress")
INDEPENDENT_ROWS = (*PLAIN, "explain")


def constants(arrays):
    """The arrays as tensors, also where there are no rows."""
    return {
        k: tf.constant(
            v, tf.string if v.dtype == object else None, shape=v.shape
        )
        for k, v in arrays.items()
    }


@pytest.mark.parametrize("name", INDEPENDENT_ROWS)
@pytest.mark.parametrize("num_rows", [0, 1, 50])
def test_raw_rows_score_as_through_preparation(
    name, num_rows, loaded, feeds, expected
):
    inputs = {k: v[:num_rows] for k, v in feeds[name].items()}

    outputs = loaded.signatures[name](**constants(inputs))

    np.testing.assert_allclose(clicks(outputs), expected[:num_rows], atol=1e-6)


@pytest.mark.parametrize("name", INDEPENDENT_ROWS)
def test_the_cpp_loader_gives_the_same(name, exported, feeds, expected):
    served = saved_model_c_api.run_signature(str(exported), feeds[name], name)

    np.testing.assert_allclose(clicks(served), expected, atol=1e-6)


def test_inputs_outputs_and_methods_are_the_contract(exported):
    found = {}
    for name, definition in definitions(exported).items():
        if name == "__saved_model_init_op":
            continue
        found[name] = (
            definition.method_name.rsplit("/", 1)[-1],
            *(
                {
                    key: (
                        tf.as_dtype(info.dtype).name,
                        [d.size for d in info.tensor_shape.dim],
                    )
                    for key, info in infos.items()
                }
                for infos in (definition.inputs, definition.outputs)
            ),
        )

    columns = {name: ("string", [-1]) for name in TEXTS} | {
        name: ("float32", [-1]) for name in NUMBERS
    }
    examples = {"inputs": ("string", [-1])}
    probability = {"probability": ("float32", [-1])}
    numbers = ("logit", "bias", "baseline", "completeness_error")
    terms = ("contributions", "first_order", "deep")
    assert found == {
        "serving_default": ("predict", columns, probability),
        "packed": (
            "predict",
            {"texts": ("string", [-1, 6]), "numbers": ("float32", [-1, 3])},
            probability,
        ),
        "ids": (
            "predict",
            {
                "ids": ("int32", [-1, 13]),
                "values": ("float32", [-1, 1]),
                "weights": ("float32", [-1, 3]),
            },
            probability,
        ),
        "classify": (
            "classify",
            examples,
            {"classes": ("string", [-1, 2]), "scores": ("float32", [-1, 2])},
        ),
        "regress": ("regress", examples, {"outputs": ("float32", [-1])}),
        "fields": (
            "predict",
            {"rows": ("string", [-1])},
            {"fields": ("string", [-1])},
        ),
        "unseen": (
            "predict",
            columns,
            dict.fromkeys(("values", "unseen"), ("int32", [-1, 9])),
        ),
        "explain": (
            "predict",
            columns,
            probability
            | dict.fromkeys(numbers, ("float32", [-1]))
            | dict.fromkeys(terms, ("float32", [-1, 9]))
            | {"pairs": ("float32", [-1, 36])},
        ),
        "rank": (
            "predict",
            {
                name: (dtype, [1] if name in CONTEXT else shape)
                for name, (dtype, shape) in columns.items()
            },
            probability,
        ),
        "packed_rank": (
            "predict",
            {
                "context_texts": ("string", [1, 3]),
                "context_numbers": ("float32", [1, 1]),
                "texts": ("string", [-1, 3]),
                "numbers": ("float32", [-1, 2]),
            },
            probability,
        ),
    }


def test_classes_are_named_and_scores_add_up(loaded, odd_log):
    inputs = tf.constant(examples_of(odd_log.head(3)))

    outputs = loaded.signatures["classify"](inputs=inputs)

    assert outputs["classes"].numpy().tolist() == [[b"0", b"1"]] * 3
    np.testing.assert_allclose(np.sum(outputs["scores"], axis=1), 1, atol=1e-6)


def test_an_absent_feature_is_missing(loaded):
    log = make_log(4)
    gaps = log.copy()
    gaps["site"], gaps["genres"], gaps["price"] = "", "", np.nan
    examples = [tf.train.Example.FromString(e) for e in examples_of(log)]
    for example in examples:
        for name in ("site", "genres", "price"):
            example.features.feature.pop(name, None)

    outputs = loaded.signatures["regress"](
        inputs=tf.constant([e.SerializeToString() for e in examples])
    )["outputs"]

    expected = loaded.signatures["packed"](**constants(matrices_of(gaps)))
    np.testing.assert_allclose(outputs, expected["probability"], atol=1e-6)


def test_a_whole_number_in_an_example_is_an_error(exported):
    example = tf.train.Example()
    example.features.feature["price"].int64_list.value.append(3)
    inputs = {"inputs": np.array([example.SerializeToString()], object)}

    with pytest.raises(RuntimeError, match="Data type: int64 but expected ty"):
        saved_model_c_api.run_signature(str(exported), inputs, "regress")


def test_bytes_that_are_no_text_are_unseen_values(loaded):
    raw = {k: v[[0, 0]] for k, v in raw_of(make_log(2)).items()}
    raw["site"] = np.array([b"\xff\xfe", b"never seen"], object)

    served = loaded.signatures["serving_default"](**constants(raw))

    np.testing.assert_equal(*served["probability"].numpy())


@pytest.fixture(scope="module")
def with_defaults(tmp_path_factory):
    schema = deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("a", min_count=1),
            deepfm_tf.CategoricalField("b", min_count=1),
            deepfm_tf.NumericField("n"),
        ),
        "y",
    )
    data = {"a": ["u", "v"], "b": ["x", "z"], "n": [1.0, 2.0], "y": [0, 1]}
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    randomize(model)
    with unchecked():
        return deepfm_tf.export_saved_model(
            model,
            vocabulary,
            tmp_path_factory.mktemp("defaults"),
            defaults={"b": "z", "n": 1},
        )


def test_an_old_client_may_leave_out_a_field_with_a_default(with_defaults):
    definition = definitions(with_defaults)["serving_default"]
    old = {"a": np.array(["u", "v", ""], object)}
    # As TensorFlow Serving does: what is left out is fed from `defaults`.
    fed = old | {
        name: tf.make_ndarray(tensor)
        for name, tensor in definition.defaults.items()
    }
    new = old | {
        "b": np.array(["z"] * 3, object),
        "n": np.ones(3, np.float32),
    }
    path = str(with_defaults)

    served = saved_model_c_api.run_signature(path, fed)

    assert {k: v.shape for k, v in fed.items() if k != "a"} == {
        "b": (1,),
        "n": (1,),
    }
    np.testing.assert_array_equal(
        served["probability"],
        saved_model_c_api.run_signature(path, new)["probability"],
    )


def test_an_example_without_the_field_takes_the_default(with_defaults):
    examples = [tf.train.Example() for _ in range(2)]
    examples[1].features.feature["b"].bytes_list.value.append(b"z")
    examples[1].features.feature["n"].float_list.value.append(1.0)

    outputs = tf.saved_model.load(with_defaults).signatures["regress"](
        inputs=tf.constant([e.SerializeToString() for e in examples])
    )["outputs"]

    np.testing.assert_equal(*outputs.numpy())


def test_without_defaults_there_are_none(exported):
    assert not definitions(exported)["serving_default"].defaults


def test_without_a_context_or_an_explainer_there_is_less(with_defaults):
    assert set(definitions(with_defaults)) == {
        *PLAIN,
        "fields",
        "unseen",
        "__saved_model_init_op",
    }


@pytest.mark.parametrize("which", ["plain", "calibrated"])
def test_only_operations_known_to_the_older_release_are_used(
    which, exported, calibrated
):
    found = operations(exported if which == "plain" else calibrated[0])

    assert new_among(found) == {}
    # The list is looked at: the look-up and the parser are in it.
    assert {"LookupTableFindV2", "ParseExampleV2"} <= found.keys()


def test_rows_are_counted_once_however_many_columns_there_are():
    def kinds(defaults):
        columns = {f"c{n}": tf.TensorSpec((None,)) for n in range(9)}
        columns["given"] = tf.TensorSpec((1,))
        traced = tf.function(lambda raw: fill_rows(raw, defaults))
        operations = traced.get_concrete_function(
            columns
        ).graph.get_operations()
        return [operation.type for operation in operations]

    assert kinds({"given": 1.0}).count("Shape") == 1
    assert set(kinds({})) == {"Placeholder", "Identity"}
