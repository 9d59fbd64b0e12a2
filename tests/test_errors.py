"""What users are told, in Python and on a command line."""

import dataclasses
import pickle

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.errors import (
    Argument,
    ExistingFileError,
    MissingFileError,
    MissingPackageError,
    UserError,
    UserTypeError,
    did_you_mean,
    refuse_unknown,
    with_known_arguments,
    wrapped_user_error,
)

OPTIONS = {"separator": "--separator", "column_names": "--no-header --columns"}


@pytest.mark.parametrize(
    ("part", "python", "option"),
    [
        (Argument("separator"), "`separator`", "--separator"),
        (Argument("separator", ";;"), 'separator=";;"', "--separator ';;'"),
        (Argument("separator", 3), "separator=3", "--separator 3"),
        (Argument("column_names"), "`column_names`", "--no-header --columns"),
        # What the command line has no option for keeps its name.
        (Argument("schema", 3), "schema=3", "schema=3"),
        # Text is never looked into.
        ("`separator` in a field", *["`separator` in a field"] * 2),
    ],
)
def test_an_argument_has_a_name_in_python_and_an_option(part, python, option):
    error = UserError("Give ", part, ".")

    assert str(error) == f"Give {python}."
    assert error.with_options(OPTIONS) == f"Give {option}."


def test_the_option_stands_before_a_text_that_does_not_name_it():
    plain = UserError("It is long.", argument="separator")
    named = UserError(Argument("separator"), " is long.", argument="separator")

    assert plain.with_options(OPTIONS) == "--separator: It is long."
    assert named.with_options(OPTIONS) == "--separator is long."


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (UserError, ValueError),
        (UserTypeError, TypeError),
        (MissingFileError, FileNotFoundError),
        (ExistingFileError, FileExistsError),
        (MissingPackageError, ImportError),
    ],
)
def test_errors_are_also_those_that_python_code_catches(kind, builtin):
    error = kind("No ", Argument("path"), ".", argument="path")

    assert isinstance(error, builtin) and isinstance(error, UserError)
    assert str(error) == "No `path`."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.argument) == ("No `path`.", "path")
    # So do those who pickle for other processes, such as Dask's tblib.
    assert type(kind.__new__(kind)) is kind


def test_an_argument_that_was_renamed_has_its_new_name():
    @with_known_arguments
    def evaluate(model, vocabulary=None):
        return model, vocabulary

    @with_known_arguments
    @dataclasses.dataclass(frozen=True)
    class Part:
        start: float
        negative_sampling: float = 1.0

    for call, old, new in (
        (evaluate, "values", "vocabulary"),
        (Part, "negatives", "negative_sampling"),
    ):
        with pytest.raises(
            UserTypeError,
            match=f"^{call.__name__} has no argument `{old}`. It is now called "
            f"`{new}`.$",
        ):
            call(1, **{old: 2})
    assert evaluate(1, vocabulary=2) == (1, 2)
    assert Part(1, 0.5) == Part(start=1, negative_sampling=0.5)


def test_an_unknown_argument_without_a_near_one_gets_the_list():
    with pytest.raises(UserTypeError) as caught:
        refuse_unknown("infer_schema", ["zzz"], ["label", "categorical"])

    assert str(caught.value) == (
        "infer_schema has no argument `zzz`. It takes: categorical, label."
    )


@pytest.mark.parametrize("kind", [UserError, MissingFileError])
def test_the_sentence_of_a_data_set_is_found_in_tensorflows_error(kind):
    sentence = "x.bin is damaged: 2 rows.\nPrepare the data again."

    def fail():
        raise kind(sentence)

    dataset = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(fail, [], tf.int64)
    )

    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(dataset))

    found = wrapped_user_error(caught.value)
    assert type(found) is UserError and str(found) == sentence


def test_a_fault_of_the_package_is_not_taken_for_a_users():
    def fail():
        return np.zeros(1)["x"]

    dataset = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(fail, [], tf.int64)
    )

    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(dataset))

    assert wrapped_user_error(caught.value) is None
    assert wrapped_user_error(ValueError("UserError: no")) is None


def test_near_names_are_offered():
    assert did_you_mean("sit", ["site", "hour"]) == " Did you mean 'site'?"
    assert did_you_mean("HOUR", ["site", "hour"]) == " Did you mean 'hour'?"
    assert did_you_mean("price", ["site", "hour"]) == ""
