"""Writes the tables of options in pipelines/README.md from their declarations.

python -m tests.pages.options
"""

from deepfm_tf.experiment.command_line import CommandLine
from deepfm_tf.experiment.options.commands import COMMANDS, RECIPE
from deepfm_tf.experiment.options.data_settings import GROUPS
from deepfm_tf.experiment.options.recipe import OWN_FILES
from tests.pages.blocks import ROOT, text_of

PAGE = "pipelines/README.md"
BEGIN = "<!-- Written by `python -m tests.pages.options`. -->\n"
END = "<!-- The end of what it writes. -->\n"
TITLES = {
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "results": "Results",
    "comparison": "Only `compare`",
    "sweep": "Only `sweep`",
}


def offered():
    """Option by name -> its declaration of each command that offers it."""
    found = {}
    for name, command in COMMANDS.items():
        line = CommandLine(OWN_FILES, command)
        for each in line.options.values():
            if each.name not in command.hidden:
                found.setdefault(each.name, {})[name] = each
    return found


def row_of(commands):
    """A row of a table: option, value, meaning and default, commands."""
    name = "train" if "train" in commands else next(iter(commands))
    each, line = commands[name], CommandLine(OWN_FILES, COMMANDS[name])
    value = "" if each.is_switch else "\\|".join(each.choices) or each.metavar
    flag = f"`{each.flag} {value or ''}".strip() + "`"
    text = each.help(line.defaults.get(each.name, each.default))
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    if set(commands) == set(COMMANDS):
        where = "all"
    else:
        where = ", ".join(commands)
    return f"| {flag} | {text} | {where} |"


def tables():
    """The tables of all groups."""
    options, parts = offered(), []
    for group in GROUPS:
        rows = [
            row_of(commands)
            for commands in options.values()
            if next(iter(commands.values())).group == group
        ]
        parts.append(
            f"\n### {TITLES[group]}\n\n| option | meaning | commands |\n"
            "|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    recipes = (
        f"\n`{RECIPE.flag} NAME`: {RECIPE.text} (only `python -m "
        "pipelines.compare` and `pipelines.sweep`).\n"
    )
    return "".join(parts) + recipes + "\n"


def page():
    """The text of the page, with the tables as they should be."""
    before, _, rest = text_of(PAGE).partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tables() + END + after


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
