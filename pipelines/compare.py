"""Models side by side, on any recipe's data."""

from deepfm_tf.experiment import main
from pipelines.recipes import RECIPES

if __name__ == "__main__":
    words = ("python", "-m", "pipelines.compare")
    raise SystemExit(
        main(command="compare", command_words=words, recipes=RECIPES)
    )
