"""A plain Keras fit script: copy it, and change what you like.

    python -m pipelines.fit clicks.csv clicked

Two tenths of the rows, drawn at random, are set aside: one says when to stop,
one is the test. `deepfm-tf train` does the same with options, several models
and a report.
"""

import sys

import keras

import deepfm_tf

FILE, LABEL = sys.argv[1:3]

# What each column is: look at it, and give `ignore=[...]` or write it yourself.
schema = deepfm_tf.infer_schema(FILE, label=LABEL)
print(schema.summary())

# Raw rows to ids, once; the next start finds them done.
shares = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
parts = {n: deepfm_tf.Part(*share, seed=1) for n, share in shares.items()}
train = deepfm_tf.prepare(
    FILE, "runs/fit/train", schema=schema, part=parts["train"]
)
valid, test = (
    deepfm_tf.prepare(
        FILE,
        f"runs/fit/{name}",
        vocabulary=train.vocabulary,
        part=parts[name],
    )
    for name in ("valid", "test")
)

# All GPUs, or the CPU.
with deepfm_tf.create_strategy().scope():
    model = deepfm_tf.DeepFM(train.schema, hidden_units=(128, 64), dropout=0.2)
    deepfm_tf.compile_model(model, "lazy_adam", learning_rate=0.001)

model.fit(
    train.dataset(2048, shuffle=True, seed=1),
    validation_data=valid.dataset(2048),
    epochs=20,
    shuffle=False,  # the data set shuffles
    callbacks=[
        keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    ],
)
print(deepfm_tf.evaluate(model, test.dataset(2048)))

path = deepfm_tf.export_saved_model(
    model, train.vocabulary, "saved_models/fit", keep_versions=3
)
print(f"Exported to {path}. Serve it:\n    deepfm-tf serve", end=" ")
print("--model_name=fit --model_base_path=saved_models/fit")
