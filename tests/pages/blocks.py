"""The pages of the manual, and the blocks of code in them."""

import dataclasses
import functools
import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (".github", "deepfm_tf", "pipelines", "saved_models", "tests")
# What a person reads; not what git ignores.
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for top in [*ROOT.glob("*.md"), *map(ROOT.joinpath, ROOMS)]
    for path in ([top] if top.suffix else top.rglob("*"))
    if path.suffix in (".md", ".ipynb")
    and not re.search(r"saved_models/.*/|/runs/|_checkpoints/", path.as_posix())
)
_FENCE = re.compile(r"( *)```(\w*)")
_NOT_RUN = re.compile(r"\*Not run by the tests: (.+)\.\*")


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Args:
        page: str. The path of the page.
        line: int. Where its code begins.
        language: str. What follows the fence.
        text: str.
        output: str or None. What stands in the block of text that follows.
        not_run: str or None. Why no test runs it, as the page says.
    """

    page: str
    line: int
    language: str
    text: str
    output: str | None = None
    not_run: str | None = None

    def __str__(self):
        return f"{self.page}, line {self.line}"

    @property
    def commands(self):
        """The words of each command of a shell block."""
        found, begun = [], ""
        for line in self.text.replace("\\\n", " ").splitlines():
            begun += line
            try:
                found.append(shlex.split(begun, comments=True))
            except ValueError:  # a quote that a later line closes
                begun += "\n"
                continue
            begun = ""
        return [words for words in found if words]


def text_of(page):
    """The text of a page, by its path from the root; a notebook as Markdown."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return text
    cells = [
        (cell["cell_type"], "".join(cell["source"]))
        for cell in json.loads(text)["cells"]
    ]
    return "\n\n".join(
        source if kind == "markdown" else f"```python\n{source}\n```"
        for kind, source in cells
    )


@functools.cache
def blocks_of(page):
    """The blocks of a page in their order, but for those of output."""
    found, lines, said, opened = [], [], "", None
    for number, line in enumerate(text_of(page).splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None:
            if fence is None:
                lines.append(line[opened[0] :])
                continue
            block = Block(page, opened[1], opened[2], "\n".join(lines) + "\n")
            reason = _NOT_RUN.fullmatch(said)
            if block.language == "text" and said == "```" and found:
                found[-1] = dataclasses.replace(found[-1], output=block.text)
            else:
                told = reason[1] if reason else None
                found.append(dataclasses.replace(block, not_run=told))
            said, opened = "```", None
        elif fence is not None:
            opened, lines = (len(fence[1]), number + 1, fence[2]), []
        elif line.strip():
            said = line.strip()
    return [block for block in found if block.language != "text"]


def headings_of(page):
    """The anchors that GitHub makes of the headings of a page."""
    text = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.M | re.S)
    anchors = []
    for title in re.findall(r"^#+ +(.+?) *$", text, re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        again = sum(re.sub(r"-\d+$", "", a) == anchor for a in anchors)
        anchors.append(f"{anchor}-{again}" if again else anchor)
    return anchors


def links_of(page):
    """What the links and pictures of a page point at."""
    text = re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.M | re.S)
    text = re.sub(r"`[^`]*`", "", text)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [*found, *re.findall(r"(?:src|srcset)=\"([^\"]+)\"", text)]
