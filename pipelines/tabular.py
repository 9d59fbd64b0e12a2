"""Any file of your own: `python -m pipelines.tabular --help`."""

import dataclasses

from deepfm_tf.experiment import OWN_FILES, main

RECIPE = dataclasses.replace(
    OWN_FILES,
    name="tabular",
    command_words=("python", "-m", "pipelines.tabular"),
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))
