"""Plots: what is on them, and the word about the extra."""

import dataclasses
import sys

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.explain import FieldStrengths
from tests.explain.test_attributions import attributions


def strengths(num_fields=3):
    names = tuple(f"field {i}" for i in range(num_fields))
    pairs = np.add.outer(np.arange(num_fields), np.arange(num_fields)) / 10
    np.fill_diagonal(pairs, 0)
    return FieldStrengths(names, np.full(num_fields, 0.25), pairs, 9)


def test_the_heat_map_shows_pairs_and_first_order(tmp_path):
    figure = deepfm_tf.explain.plot_field_strengths(strengths())

    figure.savefig(tmp_path / "heat.png")
    axes = figure.axes[0]
    pairs, first_order = (image.get_array() for image in axes.images)
    np.testing.assert_allclose(
        pairs.filled(9), [[9, 0.1, 0.2], [0.1, 9, 0.3], [0.2, 0.3, 9]]
    )
    np.testing.assert_allclose(first_order.filled(9)[0], [0.25, 9, 9])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["field 0", "field 1", "field 2"]
    assert len(axes.texts) == 9


def test_strong_first_order_terms_do_not_darken_the_pairs():
    terms = dataclasses.replace(strengths(), first_order=np.full(3, 9.0))

    axes = deepfm_tf.explain.plot_field_strengths(terms).axes[0]

    assert [image.get_clim() for image in axes.images] == [(0, 0.3), (0, 9)]


def test_a_heat_map_of_many_fields_leaves_the_numbers_out():
    figure = deepfm_tf.explain.plot_field_strengths(strengths(20))

    assert len(figure.axes[0].texts) == 0


def test_of_many_fields_it_shows_those_with_the_strongest_terms():
    axes = deepfm_tf.explain.plot_field_strengths(strengths(300)).axes[0]

    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"field {i}" for i in range(260, 300)]
    image = np.array(axes.images[0].get_array())
    assert image[0, 1] == pytest.approx((260 + 261) / 10)
    assert axes.get_title().endswith("the 40 strongest of 300")


def test_the_waterfall_ends_at_the_logit(tmp_path):
    figure = deepfm_tf.explain.plot_waterfall(attributions(), top=3)

    figure.savefig(tmp_path / "waterfall.png")
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [
        "bias",
        "deep part at the mean",
        "hour=23 × app=chess",
        "app=chess (alone)",
        "hour=23 (alone)",
        "6 smaller terms, error",
        "logit",
    ]
    *steps, logit = axes.patches
    # Each bar starts where the one before it ended.
    ends = np.cumsum([bar.get_width() for bar in steps])
    starts = [bar.get_x() for bar in steps]
    np.testing.assert_allclose(starts[1:], ends[:-1], atol=1e-9)
    assert (starts[0], logit.get_x()) == (0.0, 0.0)
    assert ends[-1] == pytest.approx(logit.get_width()) == 0.75


def test_long_names_are_cut():
    long = attributions(labels=(("hour=" + "9" * 200, "app=b", "user=c"),))

    figure = deepfm_tf.explain.plot_waterfall(long)

    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert max(map(len, names)) < 75
    heat = FieldStrengths(("f" * 99, "g"), np.ones(2), np.eye(2)[::-1], 9)
    axes = deepfm_tf.explain.plot_field_strengths(heat).axes[0]
    assert axes.get_xticklabels()[0].get_text() == "f" * 29 + "…"
    assert axes.get_yticklabels()[0].get_text() == "f" * 29 + "…"


def test_a_waterfall_by_field_has_a_step_for_each_field():
    result = attributions()

    axes = deepfm_tf.explain.plot_waterfall(result, by_field=True).axes[0]

    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(labels[2:5]) == sorted(result.labels[0])
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(
        sorted(widths[2:5]), sorted(result.contributions[0])
    )
    assert sum(widths[:-1]) == pytest.approx(widths[-1])


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    for plot, argument in (
        (deepfm_tf.explain.plot_field_strengths, strengths()),
        (deepfm_tf.explain.plot_waterfall, attributions()),
    ):
        with pytest.raises(ImportError, match="pip install matplotlib"):
            plot(argument)
