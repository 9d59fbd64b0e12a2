"""Writes the reference of all public names, from their docstrings.

python -m tests.pages.reference runs/docs
"""

import inspect
import sys
import warnings
from pathlib import Path

import deepfm_tf


def rooms():
    """The package and its public rooms, by name."""
    found = {"deepfm_tf": deepfm_tf}
    for name in deepfm_tf.__all__:
        value = getattr(deepfm_tf, name)
        if inspect.ismodule(value):
            found[value.__name__] = value
    return found


def public_names(room):
    """The names that a room is for -> what they stand for."""
    names = getattr(room, "__all__", None)
    if names is not None:
        return {name: getattr(room, name) for name in names}
    return {
        name: value
        for name, value in vars(room).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == room.__name__
    }


def main(folder):
    """Write the pages; returns how many there are."""
    import pdoc

    for room in rooms().values():
        # What is loaded when it is asked for, pdoc would not see.
        vars(room).update(public_names(room))
    # Fields of a TypedDict are of no module, as pdoc sees it.
    warnings.simplefilter("ignore")
    pdoc.render.configure(docformat="google", search=True)
    pdoc.pdoc(*rooms(), output_directory=folder)
    return len(list(folder.rglob("*.html")))


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]))} pages: {sys.argv[1]}/index.html")
