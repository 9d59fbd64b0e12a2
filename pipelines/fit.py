"""A plain Keras fit script: copy it, and change what you like.

    python -m pipelines.fit clicks.csv clicked

Two tenths of the rows, drawn at random, are set aside: one says when to stop,
one is the test. `deepfm-tf train` does the same with options, several models
and a report.
"""

import sys

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

# Layers, learning rate, batch and penalty for data of this size.
preset = deepfm_tf.choose_preset(
    "DeepFM", train.schema, train.num_rows, num_positives=train.num_positives
)
# All GPUs, or the CPU.
with deepfm_tf.create_strategy().scope():
    model = deepfm_tf.DeepFM(train.schema, **preset.model_arguments())
    deepfm_tf.compile_model(model, **preset.compile_arguments())

model.fit(
    train.dataset(preset.batch_size, shuffle=True, seed=1),
    epochs=30,
    shuffle=False,  # the data set shuffles
    # Ends when the validation data gain no more, with the best weights.
    callbacks=deepfm_tf.training_callbacks(
        valid.dataset(4096), **preset.callback_arguments()
    ),
)
print(deepfm_tf.evaluate(model, test.dataset(2048)))

path = deepfm_tf.export_saved_model(
    model, train.vocabulary, "saved_models/fit", keep_versions=3
)
print(f"Exported to {path}. Serve it:\n    deepfm-tf serve", end=" ")
print("--model_name=fit --model_base_path=saved_models/fit")
