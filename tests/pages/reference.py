"""Writes the reference of all public names, from their docstrings.

python -m tests.pages.reference runs/docs
"""

import inspect
import re
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


def show_methods_of_bases(kind):
    """Give a class the methods of our bases that have no place of their own.

    pdoc shows a method where it is defined: `predict` of a client nowhere.
    """
    for base in kind.__mro__[1:]:
        if not base.__module__.startswith("deepfm_tf."):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in vars(kind):
                setattr(kind, name, value)


def without_dead_links(text):
    """A page whose links to places that it does not have are plain text.

    pdoc makes a link of each name in backticks that an object has, also of
    the attributes that Keras gives it.
    """
    places = set(re.findall(r'id="([^"]+)"', text))
    return re.sub(
        r'<a href="#([^"]+)">(.*?)</a>',
        lambda link: link[0] if link[1] in places else link[2],
        text,
    )


def main(folder):
    """Write the pages; returns how many there are."""
    import pdoc

    for room in rooms().values():
        names = public_names(room)
        # What is loaded when it is asked for, pdoc would not see.
        vars(room).update(names)
        for value in names.values():
            if inspect.isclass(value):
                show_methods_of_bases(value)
    # Fields of a TypedDict are of no module, as pdoc sees it.
    warnings.simplefilter("ignore")
    pdoc.render.configure(docformat="google", search=True)
    pdoc.pdoc(*rooms(), output_directory=folder)
    pages = list(folder.rglob("*.html"))
    for page in pages:
        text = without_dead_links(page.read_text("utf-8"))
        page.write_text(text, "utf-8")
    return len(pages)


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]))} pages: {sys.argv[1]}/index.html")
