"""The page: well-formed, self-contained, escaped, true to its numbers."""

import base64
import html.parser
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

import deepfm_tf
from tests.report.reports import MODELS, NASTY, blank_figures, make_report

VOID = {"meta", "img", "br", "link", "input"}


class Reader(html.parser.HTMLParser):
    """Tags, checked to be closed in order, and the text between them."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.tags = []
        self.text = []
        self.tables = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def page():
    return deepfm_tf.report.html_report(make_report())


@pytest.fixture(scope="module")
def reader(page):
    return read(page)


@pytest.fixture(name="blank_figures")
def without_plots(page):
    with blank_figures():
        yield


def test_it_is_one_document_for_any_screen(page, reader):
    metas = [attributes for tag, attributes in reader.tags if tag == "meta"]

    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert {"charset": "utf-8"} in metas
    assert any(
        m.get("name") == "viewport" and "width=device-width" in m["content"]
        for m in metas
    )
    assert [tag for tag, _ in reader.tags].count("h1") == 1
    assert "@media print" in page


def test_it_needs_nothing_from_outside(page, reader):
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name in ("src", "href"):
            # An image inside the page, or a place on it.
            assert attributes.get(name, "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)
    outside_of_images = re.sub(r"data:image/[^\"]*", "", page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", outside_of_images)


def test_its_contents_lead_to_every_part(page, reader):
    places = [a["id"] for tag, a in reader.tags if tag == "h2"]
    links = [a["href"] for tag, a in reader.tags if tag == "a"]

    assert links == [f"#{place}" for place in places]
    assert len(set(places)) == len(places) >= 7
    assert page.index("deepfm wins.") < page.index("<nav") < page.index("<h2")


def test_only_tables_scroll_and_print_shows_them_whole(page, reader):
    style = page[page.index("<style>") : page.index("</style>")]
    _, paper = style.split("@media print")
    inside = [t for t, a in reader.tags if a.get("class") == "scroll"]

    # Each in a box of its own.
    assert len(inside) == len(reader.tables)
    assert ".scroll { overflow-x: auto" in style
    assert "size: A4" in paper and ".scroll { overflow: visible" in paper
    assert "tr, figure, pre { break-inside: avoid" in paper


def test_it_has_colours_for_dark_screens_and_no_others(page):
    style = page[page.index("<style>") : page.index("</style>")]
    light, dark = style.split("(prefers-color-scheme: dark)")
    dark, rest = dark.split("\n}\n", 1)

    def named(text):
        return set(re.findall(r"(--[a-z]+):", text))

    assert named(light) == named(dark) >= {"--ink", "--paper"}
    # Plots are drawn on white; all else takes the named colours.
    assert re.findall(r"#[0-9a-f]{3,8}", rest) == ["#fff"]


def test_every_image_is_described_and_can_be_drawn(reader):
    images = [attributes for tag, attributes in reader.tags if tag == "img"]

    assert len(images) == 5  # two curves, reliability, two heat maps
    assert len({image["alt"] for image in images}) == len(images)
    for image in images:
        assert len(image["alt"]) > 20
        kind, data = image["src"].split(";base64,")
        assert kind == "data:image/svg+xml"
        drawing = ET.fromstring(base64.b64decode(data))
        assert drawing.tag.endswith("svg")
        for element in drawing.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:"))


def test_texts_from_outside_are_texts(page, reader):
    assert "<script" not in page
    # Title, lead, command, label, note, field, slices and strengths.
    assert "".join(reader.text).count(NASTY) >= 10


def test_the_numbers_are_those_of_the_report(reader):
    report = make_report()

    header, *rows = reader.tables[0]
    _, *trained = reader.tables[1]

    assert header[:4] == [
        *("model", "test AUC", "test log loss", "steps to fm's best")
    ]
    for row, entry in zip(rows, report["summary"], strict=True):
        assert row[0] == entry["model"]
        for cell, key in ((1, "auc"), (2, "log_loss")):
            mean, std = row[cell].split(" ± ")
            assert float(mean) == round(entry[key]["mean"], 4)
            assert float(std) == round(entry[key]["std"], 4)
    assert [row[-1] for row in trained] == ["1,000", "1,001", "1,002"]
    assert [row[1] for row in trained] == ["2 ± 0", "3 ± 0", "4 ± 0"]
    assert [row[3] for row in rows] == ["– (0 of 2 runs)", "6 ± 3", "6 ± 3"]


def test_it_opens_with_the_verdict_and_tells_findings_below_the_table():
    report = make_report() | {
        "verdict": f"fm is best. {NASTY}",
        "findings": [f"fm overfits. {NASTY}", "deepfm is worse."],
    }
    constant = {"auc": 0.5, "log_loss": 0.6}
    row = deepfm_tf.report.reference_row("constant", constant)
    report["summary"] = [*report["summary"], row]

    page = deepfm_tf.report.html_report(report, plots={})

    reader = read(page)
    places = [
        page.index(text)
        for text in (
            *("</h1>", "fm is best.", "deepfm wins.", "Results</h2>"),
            *("<table>", "fm overfits.", "deepfm is worse.", "Training</h3>"),
        )
    ]
    assert places == sorted(places)
    assert "<script" not in page
    # Metrics alone; its steps, epochs and seconds are dashes.
    assert reader.tables[0][-1][:4] == ["constant", "0.5000", "0.6000", "–"]
    assert [row[0] for row in reader.tables[1][1:]] == list(MODELS)


@pytest.mark.usefixtures("blank_figures")
def test_one_model_beside_the_constant_is_not_called_the_best():
    report = make_report(num_seeds=1)
    report["models"] = report["models"][:1]
    row = deepfm_tf.report.reference_row(
        "constant", {"auc": 0.5, "log_loss": 0.6}
    )
    report["summary"] = [
        *deepfm_tf.report.summarize_runs(report["models"]),
        row,
    ]

    page = deepfm_tf.report.html_report(report)

    assert "number best" not in page and "is bold" not in page


def test_the_best_of_a_column_stands_out(page):
    best = re.findall(r'<td class="number best">([^<]*)<', page)

    assert best == ["0.8150 ± 0.0071", "0.4150 ± 0.0071"]


def test_slices_have_a_line_each_and_a_column_for_each_model(reader):
    tables = [t for t in reader.tables if t[0][0] == "value"]

    assert [t[0] for t in tables] == 3 * [
        ["value", "rows", "mean label", "logistic_regression", "fm", "deepfm"]
    ]
    assert tables[0][1] == [f"{NASTY} = a", "40", "0.2500", "–", "–", "–"]
    assert tables[1][2][3:] == ["0.5100", "0.4600", "0.4100"]


def test_drift_has_a_row(reader):
    (rows,) = (t for t in reader.tables if "in training" in t[0])

    assert rows[1] == [
        *(NASTY, "test", "out of range", "25.00%", "0.12%", "0.00%"),
        f"{NASTY}, 1e+10",
        f"Field '{NASTY}': 25 % are others.",
    ]


def test_gauc_has_a_column_and_says_of_what():
    report = make_report(num_seeds=1)
    report["group_by"] = NASTY
    for run in report["models"]:
        run["test"]["grouped_auc"] = 0.625
    report["summary"] = deepfm_tf.report.summarize_runs(report["models"])

    reader = read(deepfm_tf.report.html_report(report, plots={}))

    header, *rows = reader.tables[0]
    assert [row[header.index("test GAUC")] for row in rows] == ["0.6250"] * 3
    assert f"the mean AUC of the groups of {NASTY}" in "".join(reader.text)


@pytest.mark.usefixtures("blank_figures")
def test_a_single_run_has_a_page_without_what_it_cannot_have():
    report = make_report(num_seeds=1)
    del report["lead"], report["comparisons"], report["next_command"]
    del report["reach"]
    report["models"] = report["models"][:1]
    for name in ("slices", "steps_to_reach"):
        del report["models"][0][name]
    report["summary"] = deepfm_tf.report.summarize_runs(report["models"])

    reader = read(deepfm_tf.report.html_report(report))

    text = "".join(reader.text)
    assert "±" not in text and "seed" not in text
    assert "Slices" not in text and "Pairs" not in text
    assert "Reliability" in text and report["command"] in text


@pytest.mark.usefixtures("blank_figures")
def test_a_calibration_is_shown_before_and_after():
    report = make_report(num_seeds=1)
    run = report["models"][2]
    run["calibration"] = {
        "method": "platt",
        "test": {**run["test"], "log_loss": 0.25},
        "reliability": {"probability": [0.2], "label": [0.2], "weight": [9]},
        "note": f"It is no better. {NASTY}",
    }
    report["summary"] = deepfm_tf.report.summarize_runs(report["models"])

    reader = read(deepfm_tf.report.html_report(report))

    (rows,) = (t for t in reader.tables if "method" in t[0])
    assert rows[1:] == [
        ["deepfm", "platt", "0.41000 → 0.25000", "0.02000, unchanged"]
        + ["1.010, unchanged", "0.81000, unchanged"]
    ]
    (image,) = (
        attributes
        for tag, attributes in reader.tags
        if tag == "img" and "before and after" in attributes["alt"]
    )
    assert "deepfm" in image["alt"]
    text = "".join(reader.text)
    results, training = reader.tables[:2]
    # What is exported has a row, and what is of the model before it says so.
    assert results[-1][:3] == ["deepfm, platt", "0.8100", "0.2500"]
    assert [row[0] for row in training[1:]] == list(MODELS)
    assert "deepfm, platt is the model with its calibration" in text
    assert "All models are shown before calibration." in text
    assert run["calibration"]["note"] in text


@pytest.mark.usefixtures("blank_figures")
def test_weights_are_named_wherever_they_count(reader):
    report = make_report()
    plain = "".join(reader.text)
    report["schema"]["example_weight"] = NASTY

    text = "".join(read(deepfm_tf.report.html_report(report)).text)

    assert "weighted" not in plain and "about as many rows" in plain
    for part in (
        f"Metrics of the test data, weighted by {NASTY}.",
        f"the same test rows, weighted by {NASTY}",
        f"mean labels are weighted by {NASTY}.",
        f"the same sum of {NASTY}.",
        f"Rows are weighted by {NASTY} in training",
    ):
        assert part in text


@pytest.mark.usefixtures("blank_figures")
def test_buckets_and_hidden_layers_have_their_word(reader):
    report = make_report()
    plain = "".join(reader.text)
    report["schema"]["fields"][0]["type"] = "bucketized"
    for run in report["models"]:
        if run["model"] == "deepfm":
            run["strengths"]["has_pyramid"] = True

    text = "".join(read(deepfm_tf.report.html_report(report)).text)

    for part in ("A bucket does not contain its upper bound.", "hidden layers"):
        assert part in text and part not in plain
    assert "80 test rows, without the hidden layers." in text


def test_equal_reports_make_equal_pages(page):
    assert deepfm_tf.report.html_report(make_report()) == page


@pytest.mark.browser
@pytest.mark.slow_process
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_scrolling_sideways(page, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("neither chromium nor google-chrome is on PATH")
    # The page reports on itself; it has no script of its own.
    frame = tmp_path / "frame.html"
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    frame.write_text(
        f"""<iframe id="f" width="{width}" height="800" src="page.html">
        </iframe><p id="result"></p><script>
        addEventListener("load", () => {{
          const d = document.getElementById("f").contentDocument;
          const drawn = [...d.images].filter(
            i => i.complete && i.naturalWidth > 0 && i.clientWidth > 300);
          const cut = [...d.querySelectorAll(".scroll")].filter(
            t => t.scrollWidth > t.clientWidth);
          document.getElementById("result").textContent = JSON.stringify(
            [d.documentElement.scrollWidth, d.images.length, drawn.length,
             cut.length]);
        }});</script>""",
        encoding="utf-8",
    )

    shown = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu"]
        + ["--allow-file-access-from-files", f"--user-data-dir={tmp_path}/p"]
        + ["--virtual-time-budget=5000", "--dump-dom", f"file://{frame}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    found = re.search(r'id="result">\[(\d+),(\d+),(\d+),(\d+)\]', shown)
    assert found, shown[-500:]
    scroll_width, images, drawn, cut = map(int, found.groups())
    assert scroll_width <= width
    assert images == drawn == 5
    # A phone scrolls within the tables, a desk has room for them.
    assert (cut > 0) == (width == 390)


def test_what_the_weights_are_of_is_said(blank_figures):
    report = make_report()
    runs = report["models"]
    for run in runs:
        run["best_epoch"] = 2
    report["summary"] = deepfm_tf.report.summarize_runs(runs)

    alone = deepfm_tf.report.html_report(report)
    runs[0]["averaged"] = 3
    mean = deepfm_tf.report.html_report(report)

    assert "those of the best epoch on validation data.<" in alone
    assert (
        "data. If a finding says so, they are a mean of several epochs.<"
        in mean
    )


@pytest.mark.usefixtures("blank_figures")
def test_the_reason_for_a_kind_stands_in_the_line_of_the_field():
    report = make_report()
    report["schema"]["notes"] = [
        "'price': numeric, 9 numbers.",
        "'id': left out, unique.",
    ]

    reader = read(deepfm_tf.report.html_report(report))

    fields = next(table for table in reader.tables if table[0][0] == "field")
    assert fields[0] == ["field", "type", "ids", "reason"]
    assert fields[2] == ["price", "numeric", "–", "9 numbers"]
    assert "'id': left out, unique." in reader.text


def test_no_option_is_broken_behind_its_hyphens():
    from deepfm_tf.report.page import command, paragraph

    whole = '<span class="option">--l2-mode</span>'
    assert paragraph("give --l2-mode batch") == f"<p>give {whole} batch</p>"
    assert command("a --l2-mode b") == f"<pre><code>a {whole} b</code></pre>"
    assert "span" not in paragraph("a -- b, x--y")
