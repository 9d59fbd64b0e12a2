"""Structures of the hidden layers side by side, on any recipe's data."""

from deepfm_tf.experiment import main
from pipelines.recipes import RECIPES

if __name__ == "__main__":
    words = ("python", "-m", "pipelines.sweep")
    raise SystemExit(
        main(command="sweep", command_words=words, recipes=RECIPES)
    )
