"""Draws rates against vocabulary sizes, from JSON on the standard input.

Needs matplotlib alone. Greys in the middle and a transparent background, so
that the picture is readable on white and on black.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot  # noqa: E402

GREY = "#858585"
STYLES = {
    "ours": ("deepfm_tf", "#2f8fdd", "o"),
    "plain_keras": ("plain Keras 3", "#e0792f", "s"),
}


def draw(rates: dict[str, list[tuple[int, float]]], path: str) -> None:
    """Write the picture.

    Args:
        rates: implementation -> (vocabulary, examples per second) pairs.
        path: of the SVG file.
    """
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 11,
            "text.color": GREY,
            "axes.labelcolor": GREY,
            "axes.edgecolor": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
        }
    )
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4))
    for name, points in rates.items():
        label, color, marker = STYLES.get(name, (name, GREY, "d"))
        sizes, speeds = zip(*sorted(points), strict=True)
        axes.plot(sizes, speeds, color=color, marker=marker, linewidth=2)
        axes.annotate(
            label,
            (sizes[-1], speeds[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=color,
        )
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("values in the vocabulary")
    axes.set_ylabel("training examples per second")
    axes.grid(color=GREY, alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(
        path, transparent=True, bbox_inches="tight", metadata={"Date": None}
    )


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
