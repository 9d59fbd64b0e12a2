"""Options that are declared once, and the parser that they make."""

import argparse
import dataclasses
import shlex

import pytest
from hypothesis import given, settings, strategies as st

from deepfm_tf.options import Parser, flags_of, option, options_of, switch


@dataclasses.dataclass(kw_only=True)
class Kitchen:
    """One option of each kind."""

    cups: int = option(3, "how many", int, "N", group="ware")
    names: tuple[str, ...] = option(
        (), "of guests", lambda text: tuple(text.split(",")), group="guests"
    )
    dishes: list[str] = option(
        dataclasses.MISSING, "to cook", group="ware", takes_many=True
    )
    gas: bool = switch("cook with gas", group="ware", argument="fuel")
    no_salt: bool = switch("100 % without", group="ware")
    spice: str | None = option(
        None,
        "what else",
        group="ware",
        choices=("chili", "mint"),
        flag="--with",
        argument="spice_name",
        flags="--hot --with",
    )


OPTIONS = options_of(Kitchen)


def parsed(words, defaults=None, hidden=()):
    parser = Parser(prog="cook")
    parser.add_options(
        OPTIONS.values(), ("guests", "ware"), defaults or {}, hidden
    )
    return vars(parser.parse_args(words))


def test_words_become_values():
    assert parsed(
        "--dishes soup --cups 5 --names a,b --gas --with mint".split()
    ) == {
        "cups": 5,
        "names": ("a", "b"),
        "dishes": ["soup"],
        "gas": True,
        "no_salt": False,
        "spice": "mint",
    }


def test_values_of_several_add_up_and_replace_the_default():
    words = "--dishes soup pie --dishes cake".split()

    assert parsed(words, {"dishes": ["egg"]})["dishes"] == [
        *("soup", "pie", "cake"),
    ]
    assert parsed([], {"dishes": ["egg"]})["dishes"] == ["egg"]


@pytest.mark.parametrize(
    ("words", "name"),
    [("--no-gas", "gas"), ("--salt", "no_salt")],
)
def test_a_switch_can_be_taken_back(words, name):
    given_before = {"dishes": ["egg"], name: True}

    assert parsed([], given_before)[name] is True
    assert parsed([words], given_before)[name] is False


def test_what_must_be_given_is_asked_for(capsys):
    with pytest.raises(SystemExit) as end:
        parsed([])

    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: the following arguments are required: --dishes\n"
        "See: cook --help\n"
    )


def test_the_help_has_the_headings_in_order_and_true_defaults(capsys):
    with pytest.raises(SystemExit):
        parsed(["--help"], {"cups": 7}, hidden=["spice"])

    text = " ".join(capsys.readouterr().out.split())
    assert text.index("guests: --names") < text.index("ware: --cups")
    assert "--cups N how many (default: 7)" in text
    assert "100 % without" in text and "--salt" not in text
    assert "--with" not in text


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("--cup", "There is no option --cup. Did you mean --cups?"),
        ("--with=salt", "argument --with: invalid choice: 'salt'"),
        ("--cups=many", "argument --cups: invalid int value: 'many'"),
    ],
)
def test_a_mistake_is_two_lines(word, error, capsys):
    with pytest.raises(SystemExit):
        parsed(["--dishes", "soup", word])

    lines = capsys.readouterr().err
    assert error in lines and lines.count("\n") == 2


def test_words_that_are_no_names_of_options_pass():
    parser = Parser(prog="x")
    parser.add_argument("--value", type=int)
    parser.add_argument("rest", nargs="*")

    options = parser.parse_args(["--value=-1", "--", "--other"])

    assert options == argparse.Namespace(value=-1, rest=["--other"])


def test_errors_name_what_is_typed():
    assert flags_of(OPTIONS.values()) == {
        "fuel": "--gas",
        "spice_name": "--hot --with",
    }


# Argparse takes no newline-like trick amiss, but no word may be absent.
WORDS = st.text(max_size=5)


@settings(max_examples=50, deadline=None)
@given(
    dishes=st.lists(WORDS, min_size=1, max_size=3),
    cups=st.integers(-9, 9),
    gas=st.booleans(),
)
def test_the_words_for_values_give_the_same_values(dishes, cups, gas):
    values = {"dishes": dishes, "cups": cups, "gas": gas}
    words = [w for n, v in values.items() for w in OPTIONS[n].words(v)]

    again = parsed(shlex.split(shlex.join(words)))

    # Before Python 3.13 argparse takes `--dishes=--` for no value.
    assert {name: again[name] for name in values} == values
