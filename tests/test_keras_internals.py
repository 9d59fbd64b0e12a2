"""Each private name is there, and does what we take it for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf import keras_internals


class Hooked(keras_internals.StepHooks, keras.optimizers.SGD):
    """Notes the hooks that Keras calls, and what with."""

    def __init__(self):
        super().__init__(learning_rate=0.5, weight_decay=0.1, clipvalue=1.0)
        self.called = []
        self.begun = None

    def begin(self, variables):
        assert not self.called
        self.begun = list(variables)

    def clip(self, grads):
        self.called.append("clip")
        return super().clip(grads)

    def decay(self, variables):
        self.called.append("decay")
        super().decay(variables)

    def update(self, grads, variables, rate):
        self.called.append("update")
        super().update(grads, variables, rate)


def step(value, gradient):
    optimizer, variable = Hooked(), keras.Variable([value])
    optimizer.apply([tf.constant([gradient])], [variable])
    return optimizer.called, float(variable.numpy()[0])


def test_a_step_is_told_the_variables_that_have_a_gradient():
    optimizer = Hooked()
    variables = [keras.Variable([float(n)]) for n in range(3)]
    gradients = [tf.constant([1.0]), None, tf.constant([1.0])]

    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply(gradients, variables)

    assert list(map(id, optimizer.begun)) == list(map(id, variables[::2]))
    assert len(optimizer.called) == 3


def test_clip_gradients_comes_first_and_clips():
    called, value = step(0.0, 7.0)

    assert called[0] == "clip"
    assert value == pytest.approx(-0.5)  # 7 is clipped to 1


def test_apply_weight_decay_comes_second_and_decays():
    called, value = step(2.0, 0.0)

    assert called[1] == "decay"
    assert value == pytest.approx(2 * (1 - 0.5 * 0.1))


def test_backend_update_step_comes_last_and_updates():
    called, value = step(0.0, 0.25)

    assert called[2:] == ["update"]
    assert value == pytest.approx(-0.125)


def test_backend_update_step_updates_at_a_rate_of_ours():
    optimizer = keras.optimizers.SGD(learning_rate=100.0)
    variable = keras.Variable([1.0, 2.0])
    optimizer.build([variable])

    keras_internals.update_with(
        optimizer, [tf.constant([4.0, 8.0])], [variable], 0.25
    )

    np.testing.assert_allclose(variable.numpy(), [0.0, 0.0])


def test_use_weight_decay_knows_what_was_excluded():
    first, second, third = (keras.Variable([1.0], name=n) for n in "abc")
    optimizer = keras.optimizers.SGD(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[second], var_names=["c"])

    found = [
        keras_internals.weight_decay_of(optimizer, variable)
        for variable in (first, second, third)
    ]

    assert found == [0.1, None, None]
    assert (
        keras_internals.weight_decay_of(keras.optimizers.SGD(), first) is None
    )


def test_should_use_adamw_tells_which_decay_of_muon_counts():
    if keras.__version__.startswith("3.12."):
        pytest.skip("Keras 3.12 has no Muon with two decays")
    rule = keras.optimizers.Muon(weight_decay=0.1, adam_weight_decay=0.2)
    matrix, bias = keras.Variable(np.ones((2, 2))), keras.Variable([1.0])

    assert keras_internals.weight_decay_of(rule, matrix) == 0.1
    assert keras_internals.weight_decay_of(rule, bias) == 0.2


@pytest.mark.parametrize("eagerly", [False, True])
def test_predict_function_is_traced_once_for_any_number_of_rows(eagerly):
    seen = []

    class Doubling(keras.Model):
        def predict_step(self, data):
            seen.append(data[0]["x"].shape[0])
            return {"y": keras.ops.multiply(data[0]["x"], 2)}

    model = Doubling()
    model.compile(run_eagerly=eagerly)
    parts = [np.arange(n, dtype="float32")[:, None] for n in (3, 5, 2)]

    keras_internals.trace_prediction(model, {"x": parts[0]})

    for part in parts:
        found = model.predict_on_batch({"x": part})["y"]
        np.testing.assert_array_equal(found, 2 * part)
    assert seen == ([3, 5, 2] if eagerly else [None])


def test_maybe_merge_call_calls_once_for_all_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    seen = []

    def note(strategy, values):
        seen.append((strategy, strategy.experimental_local_results(values)))

    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        keras_internals.merged(note, tf.cast(number, "float32"))

    strategy.run(replica)

    ((found, values),) = seen
    assert found is strategy
    assert [float(value) for value in values] == [0.0, 1.0]


def test_maybe_merge_call_calls_without_a_strategy_too():
    seen = []

    keras_internals.merged(lambda _, value: seen.append(value), 5)

    assert seen == [5]


def test_flatten_layers_has_those_within_others():
    inner = keras.layers.Dense(1)
    outer = keras.layers.TimeDistributed(inner)
    model = keras.Sequential([keras.Input((2, 1)), outer])

    layers = keras_internals.all_layers(model)

    assert inner not in model.layers
    assert layers[0] is model and {outer, inner} < set(layers)


def test_initial_epoch_lets_fit_do_no_epoch_or_all():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    epochs = []

    class Skip(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            keras_internals.skip_epochs(self.model)

        def on_train_end(self, logs=None):
            keras_internals.skip_no_epochs(self.model)

    count = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epochs.append(epoch)
    )
    x = np.ones((2, 1))
    model.fit(x, x, epochs=2, verbose=0, callbacks=[Skip(), count])
    assert epochs == []

    model.fit(x, x, epochs=2, verbose=0, callbacks=[count])

    assert epochs == [0, 1]


def test_use_legacy_config_is_set_while_hdf5_is_written(tmp_path):
    seen = []

    class Note(keras.layers.Layer):
        def get_config(self):
            seen.append(keras_internals.is_saving_hdf5())
            return super().get_config()

    model = keras.Sequential([keras.Input((1,)), Note()])

    model.save(tmp_path / "x.keras")
    assert seen == [False]
    keras.saving.save_model(model, tmp_path / "x.h5")

    assert seen[1:] and all(seen[1:])
    assert not keras_internals.is_saving_hdf5()


@pytest.mark.parametrize("by_xla", [False, True])
def test_xla_is_seen_while_its_function_is_traced(by_xla):
    seen = []

    def trace(x):
        seen.append(keras_internals.is_in_xla())
        return x

    tf.function(trace, jit_compile=by_xla)(tf.constant(1.0))

    assert seen == [by_xla]


def test_a_noted_read_is_one_that_tapes_watch():
    variable = tf.Variable(1.0)

    with tf.GradientTape() as tape:
        keras_internals.note_read(variable)

    assert [v is variable for v in tape.watched_variables()] == [True]


def test_what_a_tape_watches_is_watched():
    one, other = tf.constant(1.0), tf.constant(2.0)

    with tf.GradientTape() as tape:
        tape.watch(one)

        assert keras_internals.is_watched(None, one)
        assert not keras_internals.is_watched(other, None)
    assert not keras_internals.is_watched(one)


def test_adam_s_moments_are_found_by_their_variable():
    optimizer = keras.optimizers.Adam(beta_1=0.5, beta_2=0.75)
    variables = [keras.Variable([0.0]), keras.Variable([[0.0]])]
    optimizer.apply([tf.constant([4.0]), tf.constant([[8.0]])], variables)

    found = [keras_internals.adam_moments(optimizer, v) for v in variables]

    # (1 - .5) g and (1 - .75) g^2.
    assert [[part.numpy().item() for part in pair] for pair in found] == [
        [2.0, 4.0],
        [4.0, 16.0],
    ]


class OwnVariables(keras.layers.Dense):
    """A layer that reads something of its own."""

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.read = True


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Dense(2), True),
        (keras.layers.BatchNormalization(), True),
        (keras.layers.Normalization(), False),
        (OwnVariables(2), False),
    ],
)
def test_layers_that_keep_more_than_variables_are_found_in_others(
    layer, expected
):
    inner = keras.Sequential([keras.Input((3,)), layer])
    model = keras.Sequential([keras.Input((3,)), inner])

    assert keras_internals.is_config_and_variables(model) == expected


def test_a_layer_that_writes_texts_keeps_more_than_variables():
    model = keras.Sequential([keras.layers.StringLookup(vocabulary=["a"])])

    assert not keras_internals.is_config_and_variables(model)
