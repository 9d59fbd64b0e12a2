"""What `--recipe` may name."""

RECIPES = {
    name: f"pipelines.{name}"
    for name in ("tabular", "avazu", "census", "criteo", "ctr", "synthetic")
}
