"""Any file of your own: `python -m pipelines.tabular --help`."""

from pipelines.command_line import Recipe, main

RECIPE = Recipe(
    name="tabular",
    description="""\
Train click models on your own file, and compare them.

    python -m pipelines.tabular --train clicks.csv --label clicked \\
        --model logistic_regression,fm,deepfm --export saved_models/clicks
""",
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))
