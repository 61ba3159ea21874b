"""The page is read as an HTML parser reads it, and clicked through in a browser where there is one."""

import base64
import html.parser
import io
import itertools
import json
import math
import os
import re
import shutil
import statistics
import time

import numpy as np
import pytest
from PIL import Image

from gan_jax.reports import page, pictures

NASTY = [
    "</script><script>window.injected = 1</script>",
    "<!--<script>",
    "<img src=x onerror='window.injected = 1'>",
    "a&amp;b & c",
    "line\u2028separator\u2029",
    "\"quotes' \\ \\u003c",
    "{{comparison}}",
    "not UTF-8: \udcff",
    "é 猫 𝕏",
]


# ------------------------------------------------------------------------------------------------ comparisons


def statistic(values):
    mean, sd = (
        (statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None) if values else (None,) * 2
    )
    return {"mean": mean, "sd": sd, "n": len(values)}


def picture(run, step):
    """A picture that no other run and step has."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (run % 256, run // 256, step // 10)).save(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def made_run(index, loss, rate, seed, system, setting, evaluated=True, pictured=True, broken=False):
    """Every seventh run diverges at step 600 of 1,000, some are not finished, and one is not begun."""
    status = "diverged" if broken or index % 7 == 3 else {9: "unfinished", 11: "not begun"}.get(index, "finished")
    end = {"diverged": 600, "unfinished": 400, "not begun": 0}.get(status, 1000)
    level = 3 + math.log10(rate / 3e-4) ** 2 + 0.7 * system + 0.2 * math.sin(index)
    measured = [[step, level + 500 / step] for step in range(100, end + 1, 100) if evaluated]
    loss_curve = [[step, math.cos(step / 90 + index)] for step in range(50, end + 1, 50)]
    if status == "diverged":
        loss_curve.append([650, None])
    steps = range(200 + 100 * (index % 2), end + 1, 200) if pictured else []
    best = min(measured, key=lambda point: point[1], default=[None, None])
    last = measured[-1] if measured else [None, None]
    return {
        "name": f"{index:03d}",
        "fields": {"loss": loss, "rate": rate, "seed": seed},
        "system": system,
        "setting": setting,
        "status": status,
        "words": "critic_loss is nan at step 650" if status == "diverged" else "",
        "step": end,
        "steps": 1000,
        "best": best[1],
        "best_step": best[0],
        "last": last[1],
        "last_step": last[0],
        "curves": {"distance": measured, "critic_loss": loss_curve} if measured else {"critic_loss": loss_curve},
        "samples": [{"step": step, "image": picture(index, step)} for step in steps],
    }


def made(losses=("hinge", "logistic"), rates=tuple(10 ** (-n / 2) for n in range(4, 11)), seeds=(0, 1), **kind):
    """A comparison of losses x rates x seeds; `kind` as in `made_run`."""
    runs, settings, systems = [], [], []
    for (system, loss), rate in itertools.product(enumerate(losses), rates):
        start, setting = len(runs), len(settings)
        runs += [made_run(start + i, loss, rate, seed, system, setting, **kind) for i, seed in enumerate(seeds)]
        own, fields = runs[start:], {"loss": loss, "rate": rate}
        done = [run for run in own if run["status"] == "finished" and run["last"] is not None]
        settings.append(
            {
                "name": f"loss={loss}, rate={rate:.2g}",
                "fields": fields,
                "system": system,
                "n": len(own),
                "failed": sum(run["status"] == "diverged" for run in own),
                "unfinished": sum(run["status"] in ("unfinished", "not begun") for run in own),
                "last": statistic([run["last"] for run in done]),
                "best": statistic([run["best"] for run in done]),
            }
        )
    for system, loss in enumerate(losses):
        own = [index for index, setting in enumerate(settings) if setting["system"] == system]
        means = {index: settings[index]["last"]["mean"] for index in own if settings[index]["last"]["n"]}
        best = min(means, key=means.get) if means else None
        systems.append(
            {
                "name": f"loss={loss}",
                "k": len(own),
                "runs": sum(settings[index]["n"] for index in own),
                "failed": sum(settings[index]["failed"] for index in own),
                "unfinished": sum(settings[index]["unfinished"] for index in own),
                "best_setting": best,
                "best_of_k": statistic([]) if best is None else settings[best]["last"],
                "expected_best": [[k, 4 + system + 1 / k] for k in range(1, len(means) + 1)],
            }
        )
    evaluated = kind.get("evaluated", True)
    pairs = [(-0.4, -0.7, -0.1, 6, 1), (0.5, -0.1, 1.0, 5, 2), (0.2, None, None, 1, 0), (None, None, None, 0, 7)]
    return {
        "title": "runs/study",
        "measure": "distance" if evaluated else None,
        "larger_is_better": False,
        "protocols": [{"samples": 1000, "features": "pixels"}] if evaluated else [],
        "notes": ["one run is unfinished"],
        "fields": ["loss", "rate", "seed"],
        "runs": runs,
        "settings": settings,
        "systems": systems,
        "comparisons": [
            {"kind": "field", "a": f"a{i}", "b": f"b{i}", "pairs": pairs, "dropped": dropped, "difference": difference,
             "low": low, "high": high}
            for i, (difference, low, high, pairs, dropped) in enumerate(pairs if evaluated else [])
        ],
    }  # fmt: skip


def nasty():
    comparison = made(losses=NASTY, rates=(1e-4,), seeds=(0,))
    comparison |= {"title": ", ".join(NASTY), "notes": NASTY, "protocols": [{text: text for text in NASTY}]}
    for run, text in zip(comparison["runs"], NASTY, strict=True):
        run |= {"name": text, "words": text, "curves": {text: [[1, 0.5]]}}
    comparison["comparisons"] = [comparison["comparisons"][0] | {"kind": text, "a": text, "b": text} for text in NASTY]
    return comparison


def sparse():
    """None, or nothing, wherever there may be."""
    comparison = made(rates=(1e-4, 1e-3), seeds=(0,), evaluated=False, pictured=False) | {"measure": "distance"}
    comparison |= {"notes": [], "protocols": []}
    for run in comparison["runs"]:
        run |= {"curves": {}, "status": "not begun", "step": 0, "fields": {"loss": None, "rate": None, "seed": None}}
    for setting in comparison["settings"]:
        setting |= {"fields": {"loss": None, "rate": None}}
    for system in comparison["systems"]:
        system |= {"expected_best": []}
    return comparison


def single():
    comparison = made(losses=("hinge",), rates=(1e-4,), seeds=(0,)) | {"fields": [], "comparisons": []}
    comparison["runs"][0]["fields"] = {}
    comparison["settings"][0] |= {"name": "all runs", "fields": {}}
    return comparison


KINDS = {
    "usual": made,
    "nasty": nasty,
    "sparse": sparse,
    "one run": single,
    "not evaluated": lambda: made(evaluated=False),
    "no samples": lambda: made(pictured=False),
    "only diverged": lambda: made(broken=True),
    "210 runs": lambda: made(losses=tuple("abc"), seeds=range(10)),
}


# ------------------------------------------------------------------------------------------------ without a browser


class Parser(html.parser.HTMLParser):
    """What of a page its parser takes for attributes, and for the text of the script that holds the comparison."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.tags, self.embedded, self._inside = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = ("id", "comparison") in attrs

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        self.embedded += data * self._inside


@pytest.mark.parametrize("kind", KINDS)
def test_the_comparison_is_read_from_the_page_as_it_was_given(tmp_path, kind):
    page.write(tmp_path / "page.html", KINDS[kind]())
    parsed = Parser((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert json.loads(parsed.embedded) == KINDS[kind]()
    assert parsed.tags.count("script") == 2


def test_numpy_is_taken_and_what_is_not_finite_is_missing(tmp_path):
    comparison = made(rates=(1e-4,))
    comparison["runs"][0] |= {"last": np.float32(0.5), "best": math.nan, "step": np.int64(7)}
    page.write(tmp_path / "page.html", comparison)
    run = json.loads(Parser((tmp_path / "page.html").read_text()).embedded)["runs"][0]
    assert (run["last"], run["best"], run["step"]) == (0.5, None, 7)


def test_the_page_needs_nothing_but_itself(tmp_path):
    page.write(tmp_path / "page.html", made())
    text = (tmp_path / "page.html").read_text()
    assert set(re.findall(r"https?://[^\s\"'`)]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not {"src", "href", "action", "data"} & {name for name, _ in Parser(text).attributes}
    assert not {"link", "iframe", "object", "base"} & set(Parser(text).tags)
    for word in ("@import", "url(", "fetch(", "XMLHttpRequest", "import(", "innerHTML", "outerHTML", "document.write",
                 "insertAdjacentHTML", "eval("):  # fmt: skip
        assert word not in text


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "new" / "page.html"
    page.write(path, made())
    old = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        page.write(path, single())
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == ["page.html"]


def shown(url):
    head, content = url.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_thumbnail_of_a_grid_is_small_and_its_images_are_told_apart(tmp_path, channels):
    """Against means over the pixels that fall into one: images of smooth blobs, of 28 pixels, enlarged three times."""
    rng, axis = np.random.default_rng(0), np.linspace(-1, 1, 28)
    centres = rng.uniform(-0.5, 0.5, size=(64, 2, 1, channels))
    across, down = ((axis[:, None] - centres[:, i]) ** 2 for i in range(2))
    blobs = np.exp(-8 * (across[:, None] + down[:, :, None]))
    pictures.image_grid(tmp_path / "grid.png", (255 * blobs).astype(np.uint8))
    url = page.thumbnail(tmp_path / "grid.png")
    thumbnail = shown(url)
    assert thumbnail.size == (256, 256)
    assert len(url) < 12_000
    with Image.open(tmp_path / "grid.png") as image:
        expected = np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BOX), dtype=float)
    assert np.abs(np.asarray(thumbnail.convert("RGB"), dtype=float) - expected).mean() < 8


def test_the_thumbnail_of_a_scatter_is_small_and_keeps_its_colours(tmp_path):
    points = np.random.default_rng(0).normal(size=(2, 1000, 2))
    pictures.scatter(tmp_path / "scatter.png", points[0], 0.01 * points[1] + [3, 3], "title")
    url = page.thumbnail(tmp_path / "scatter.png")
    pixels = np.asarray(shown(url).convert("RGB"), dtype=int)
    assert pixels.shape == (256, 256, 3)
    assert len(url) < 12_000
    reds = (pixels[..., 0] - pixels[..., 1:].max(axis=-1) > 60).sum()
    assert reds == 0  # all are outside: the axes fit the reals
    pictures.scatter(tmp_path / "scatter.png", points[0], points[1], "title")
    pixels = np.asarray(shown(page.thumbnail(tmp_path / "scatter.png")).convert("RGB"), dtype=int)
    assert (pixels[..., 0] - pixels[..., 1:].max(axis=-1) > 60).sum() > 200


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 30), (40, 30)), ((512, 256), (256, 128)), ((256, 4096), (64, 1024)), ((1, 1), (1, 1))]
)
def test_a_thumbnail_keeps_its_proportions_and_is_never_enlarged(tmp_path, size, expected):
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    assert shown(page.thumbnail(tmp_path / "a.png")).size == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_thumbnail_of_any_kind_of_png(tmp_path, mode):
    Image.new(mode, (20, 20)).save(tmp_path / "a.png")
    colour = shown(page.thumbnail(tmp_path / "a.png")).convert("RGB").getpixel((10, 10))
    assert max(colour) < 5 if "A" not in mode else min(colour) > 250  # black; and what is clear is white


def test_what_is_no_picture_has_no_thumbnail(tmp_path):
    pictures.image_grid(tmp_path / "grid.png", np.zeros((4, 8, 8, 1), np.uint8))
    whole = (tmp_path / "grid.png").read_bytes()
    for content in (b"", b"text", whole[:60], whole[: len(whole) // 2], whole[:50] + b"\xff\xff" + whole[52:]):
        (tmp_path / "a.png").write_bytes(content)
        assert page.thumbnail(tmp_path / "a.png") == ""
    assert page.thumbnail(tmp_path / "absent.png") == ""
    assert page.thumbnail(tmp_path) == ""


# ------------------------------------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-component-update",
                 "disable-background-networking", "disable-sync", "window-size=1200,900",
                 f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")
        # With its path given, selenium looks for no driver to download.
        service = webdriver.ChromeService(executable_path=chromedriver)
        driver = webdriver.Chrome(options=options, service=service)
        yield driver
        driver.quit()


@pytest.fixture
def opened(driver, tmp_path):
    """opened(comparison): its page in the browser, which must not have complained about anything by the test's end."""

    def open_page(comparison):
        page.write(tmp_path / "page.html", comparison)
        driver.get((tmp_path / "page.html").as_uri())
        return Page(driver)

    driver.get_log("browser")
    yield open_page
    assert driver.get_log("browser") == []
    assert driver.execute_script("return window.injected === undefined")


class Page:
    """What a person does with the page and sees on it."""

    def __init__(self, driver):
        self.driver = driver

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def read(self, selector, what):
        """[`what`, an expression of an `element`, for every element], at once."""
        return self.driver.execute_script(
            f"return [...document.querySelectorAll(arguments[0])].map(element => {what})", selector
        )

    def texts(self, selector):
        return self.read(selector, "element.textContent.toWellFormed()")

    def numbers(self, selector, attribute):
        return [float(value) for value in self.read(selector, f"element.getAttribute('{attribute}')")]

    def rows(self, table, *titles):
        """The visible cells under these headers, row by row from above; numbers as such."""
        heads = self.texts(f"#{table} th")
        places = [heads.index(title) for title in titles]
        cells = self.read(
            f"#{table} tbody tr:not([hidden])", "[...element.cells].map(x => x.textContent.toWellFormed())"
        )
        return [[as_number(row[place]) for place in places] for row in cells]

    def head(self, table, title):
        return self.all(f"#{table} th button")[self.texts(f"#{table} th").index(title)]

    def sorting(self, table):
        """{header: aria-sort}, of those that are sorted by."""
        pairs = self.read(f"#{table} th", "[element.textContent, element.getAttribute('aria-sort')]")
        return {title: order for title, order in pairs if order != "none"}

    def choose(self, selector, text):
        from selenium.webdriver.support.ui import Select

        Select(self.one(selector)).select_by_visible_text(text)

    def cards(self):
        """{name of the run: the address of its picture, None without one}, in the order of the page."""
        name, source = "element.querySelector('b').textContent", "element.querySelector('img')?.src ?? null"
        return dict(self.read(".card", f"[{name}, {source}]"))

    def selected(self):
        """The indexes of the runs that are highlighted in the table, the scatter and the samples."""
        parts = ("#runs tr", ".mark", ".card")
        return [self.read(f"{part}.selected", "Number(element.dataset.run)") for part in parts]


def as_number(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("kind", KINDS)
def test_every_comparison_is_shown_without_an_error(opened, kind):
    comparison = KINDS[kind]()
    runs, shown_as = comparison["runs"], str.maketrans({"\udcff": "\ufffd"})  # a browser's sign for what is no text
    seen = opened(comparison)
    assert seen.texts("#runs .name") == [run["name"].translate(shown_as) for run in runs]
    assert seen.texts("h1") == [comparison["title"].translate(shown_as)]
    for part in ("settings", "systems", "comparisons"):
        assert len(seen.all(f"#{part} tbody tr")) == len(comparison[part])
    assert seen.one("#comparisons").is_displayed() == bool(comparison["comparisons"])
    assert seen.one("#expected").is_displayed() == any(
        len(system["expected_best"]) > 1 for system in comparison["systems"]
    )
    assert ("No run was evaluated" in seen.texts("header")[0]) == (comparison["measure"] is None)
    assert ("No run has pictures" in seen.texts("#samples")[0]) == (not any(run["samples"] for run in runs))
    assert ("No run has a curve" in seen.texts("#curves")[0]) == (not any(run["curves"] for run in runs))
    assert not seen.driver.execute_script(
        "return /NaN|undefined|Infinity/.test(document.querySelector('main').innerHTML)"
    )
    failed = [setting["failed"] for setting in comparison["settings"]]
    assert sorted(number for [number] in seen.rows("settings", "failed")) == sorted(failed)
    assert len(seen.all("#settings .bad")) == sum(number > 0 for number in failed)


def in_order(rows, key, reverse):
    """Sorted as Python sorts; those that have none come last, and where there's a tie nothing moves."""
    held = [row for row in rows if key(row) is not None]
    return sorted(held, key=key, reverse=reverse) + [row for row in rows if key(row) is None]


NAMED_BY = {"runs": ["run"], "settings": ["loss", "rate"], "systems": ["system"], "comparisons": ["a"]}


@pytest.mark.parametrize(("table", "title", "key"), [
    ("runs", "last", lambda run: run["last"]),
    ("runs", "rate", lambda run: run["fields"]["rate"]),
    ("runs", "status", lambda run: f"{run['status']} {run['words']}"),
    ("settings", "rate", lambda setting: setting["fields"]["rate"]),
    ("settings", "best", lambda setting: setting["best"]["mean"]),
    ("settings", "failed", lambda setting: setting["failed"]),
    ("systems", "system", lambda system: system["name"]),
    ("comparisons", "a − b  [95 %]", lambda row: row["difference"]),
])  # fmt: skip
def test_a_click_on_a_header_sorts_and_a_key_turns_the_order(opened, table, title, key):
    comparison = made()
    comparison["settings"][3] |= {"last": statistic([]), "best": statistic([])}
    names = {
        "runs": lambda run: [as_number(run["name"])],
        "settings": lambda setting: [setting["fields"]["loss"], float(f"{setting['fields']['rate']:.4g}")],
        "systems": lambda system: [system["name"]],
        "comparisons": lambda row: [row["a"]],
    }[table]
    rows, seen = comparison[table], opened(comparison)
    if table == "settings":  # the best first
        rows = in_order(rows, lambda setting: setting["last"]["mean"], False)
        assert seen.sorting(table) == {"last": "ascending"}
    assert seen.rows(table, *NAMED_BY[table]) == [names(row) for row in rows]
    for press, word in [("click", "ascending"), ("\ue007", "descending"), (" ", "ascending")]:
        head = seen.head(table, title)
        head.click() if press == "click" else head.send_keys(press)  # the enter and space keys
        rows = in_order(rows, key, word == "descending")
        assert seen.sorting(table) == {title: word}
        assert seen.rows(table, *NAMED_BY[table]) == [names(row) for row in rows]


def test_larger_may_be_better(opened):
    comparison = made() | {"larger_is_better": True}
    seen = opened(comparison)
    assert "larger is better" in seen.texts("header")[0]
    assert seen.sorting("settings") == {"last": "descending"}
    assert "← b better | a better →" in seen.texts("#comparisons th")
    finished = [run for run in comparison["runs"] if run["status"] == "finished"]
    best = sorted(finished, key=lambda run: -run["last"])[:12]
    assert list(seen.cards()) == [run["name"] for run in best]


@pytest.mark.parametrize(("words", "keeps"), [
    ("diverged", lambda run: run["status"] == "diverged"),
    ("LOGISTIC  seed=1 ", lambda run: run["fields"]["loss"] == "logistic" and run["fields"]["seed"] == 1),
    ("nan at step", lambda run: "nan" in run["words"]),
    ("nothing like it", lambda run: False),
    ("", lambda run: True),
])  # fmt: skip
def test_a_filter_of_runs(opened, words, keeps):
    comparison = made()
    seen = opened(comparison)
    seen.one("#run-filter").send_keys(words)
    kept = [float(run["name"]) for run in comparison["runs"] if keeps(run)]
    assert [name for [name] in seen.rows("runs", "run")] == kept
    assert seen.texts("#run-count") == [f"{len(kept)} of 28 runs"]


def test_paired_comparisons_are_drawn_to_one_scale(opened):
    comparison = made()
    seen = opened(comparison)
    rows = comparison["comparisons"]
    assert seen.rows("comparisons", "pairs", "dropped") == [[row["pairs"], row["dropped"]] for row in rows]
    [zero] = {float(re.match(r"M([\d.]+)", d)[1]) for d in seen.read(".forest .axis", "element.getAttribute('d')")}
    places = dict(zip([0.0, -0.4, 0.5, 0.2], [zero, *seen.numbers(".forest circle", "cx")], strict=True))
    lines = [re.match(r"M([\d.]+) 11H([\d.]+)", d) for d in seen.read(".forest .line", "element.getAttribute('d')")]
    places |= dict(zip([-0.7, -0.1, -0.1, 1.0], [float(end) for line in lines for end in line.groups()], strict=True))
    slope, offset = np.polyfit(list(places), list(places.values()), 1)
    assert slope > 0
    np.testing.assert_allclose(slope * np.array(list(places)) + offset, list(places.values()), atol=1e-6)
    colours = seen.read(".forest circle", "element.getAttribute('fill')")
    assert [colour == "var(--accent)" for colour in colours] == [True, False, False]  # zero lies outside of the first


# ---------------------------------------------------------------------------------------------- curves, in a browser


def ranked_settings(comparison):
    return in_order(comparison["settings"], lambda setting: setting["last"]["mean"], False)


def hovered(seen, selector):
    """The lines of text that appear where the pointer rests at the right end of a chart."""
    from selenium.webdriver import ActionChains

    chart = seen.one(selector)
    seen.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    ActionChains(seen.driver).move_to_element_with_offset(chart, chart.size["width"] // 2 - 20, 0).perform()
    return seen.texts("#tip div")


def test_the_best_settings_are_drawn_and_each_can_be_taken_away(opened):
    comparison = made()
    seen = opened(comparison)
    ranked = ranked_settings(comparison)
    assert seen.texts("#curve-legend label") == [setting["name"] for setting in ranked]
    assert seen.read("#curve-legend input", "element.checked") == [True] * 8 + [False] * 6
    assert "8 of 14 settings" in seen.texts("#curve-hint")[0]
    colours = set(
        seen.read("#curve-chart .line", "element.getAttribute('stroke') + element.getAttribute('stroke-dasharray')")
    )
    assert len(colours) == 8
    seen.all("#curve-legend input")[2].click()
    assert len(seen.all("#curve-chart .line")) == 7
    assert "7 of 14 settings" in seen.texts("#curve-hint")[0]
    assert f"{ranked[2]['name']}" not in " ".join(hovered(seen, "#curve-chart svg"))
    seen.one("#curve-all").click()
    assert len(seen.all("#curve-chart .line")) == 14
    seen.one("#curve-none").click()
    assert len(seen.all("#curve-chart .line")) == 0


def test_few_settings_are_all_drawn(opened):
    seen = opened(made(rates=(1e-4, 1e-3)))
    assert seen.read("#curve-legend input", "element.checked") == [True] * 4


@pytest.mark.parametrize("name", ["distance", "critic_loss"])
def test_a_line_is_the_mean_over_the_runs_that_have_the_step(opened, name):
    """Of three seeds one diverges: the mean at the last step is of two, at the first of three."""
    comparison = made(losses=("hinge",), rates=(1e-4, 1e-3), seeds=(0, 1, 2))
    seen = opened(comparison)
    assert seen.read("#curve-number option", "element.value") == ["distance", "critic_loss"]
    seen.choose("#curve-number", name)
    assert name in seen.texts("#curve-chart text")
    title, *lines = hovered(seen, "#curve-chart svg")
    assert title == "step 1,000"
    found = {}
    for line in lines:
        mean, sd, n, setting = re.fullmatch(r"(\S+) ± (\S+) \(n = (\d)\)  (.*)", line).groups()
        found[setting] = (float(mean), float(sd), int(n))
    for index, setting in enumerate(comparison["settings"]):
        curves = [dict(run["curves"][name]) for run in comparison["runs"] if run["setting"] == index]
        ends = [curve[1000] for curve in curves if 1000 in curve]
        assert len(ends) == (2 if index == 1 else 3)
        mean, sd, n = found[setting["name"]]
        assert (mean, sd) == pytest.approx((np.mean(ends), np.std(ends, ddof=1)), rel=0.06, abs=0.006)
        assert n == len(ends)
    # The run that diverged is marked where its curve ends: by its step and value, on the axes of its own single line.
    runs = [run for run in comparison["runs"] if run["status"] == "diverged"]
    assert len(seen.all("#curve-chart .end")) == len(runs) == 1
    mark = [float(x) for x in re.match(r"M(\S+) (\S+?)l", seen.read(".end", "element.getAttribute('d')")[0]).groups()]
    singles = [re.findall(r"[ML]([\d.]+) ([\d.]+)", d) for d in seen.read(".single", "element.getAttribute('d')")]
    lengths = [sum(value is not None for _, value in run["curves"][name]) for run in comparison["runs"]]
    assert [len(points) for points in singles] == sorted_like(lengths, comparison, ranked_settings(comparison))
    [short] = [points for points in singles if len(points) == min(lengths)]
    assert [mark[0] + 5, mark[1] + 5] == pytest.approx([float(x) for x in short[-1]], abs=0.1)
    seen.one("#curve-singles").click()
    assert len(seen.all("#curve-chart .single")) == 0


def sorted_like(values, comparison, settings):
    """The runs' values, in the order in which their settings are drawn."""
    order = [comparison["settings"].index(setting) for setting in settings]
    indexes = range(len(values))
    return [
        values[index] for index in sorted(indexes, key=lambda index: order.index(comparison["runs"][index]["setting"]))
    ]


def test_a_missing_value_is_no_part_of_the_mean_and_leaves_a_gap(opened):
    comparison = made(losses=("hinge",), rates=(1e-4,), seeds=(0, 1))
    for run, values in zip(comparison["runs"], [(1.0, 2.0, 4.0, 7.0), (3.0, None, 5.0, None)], strict=True):
        run["curves"] = {"critic_loss": list(enumerate(values))}
    seen = opened(comparison)
    assert hovered(seen, "#curve-chart svg") == ["step 3", f"7  {comparison['settings'][0]['name']}"]
    paths = seen.read("#curve-chart .single", "element.getAttribute('d')")
    assert [re.sub(r"[^ML]", "", path) for path in paths] == ["MLLL", "MM"]


def test_on_a_log_scale_equal_factors_are_equally_far(opened):
    """One run whose number halves at each step: a straight line, but for the value that is not above zero."""
    comparison = made(losses=("hinge",), rates=(1e-4,), seeds=(0,))
    comparison["runs"][0]["curves"] = {"distance": [[step, 2.0**-step] for step in range(10)] + [[10, 0.0]]}
    seen = opened(comparison)
    for log in (False, True):
        points = re.findall(r"[ML]([\d.]+) ([\d.]+)", seen.read("#curve-chart .line", "element.getAttribute('d')")[0])
        heights = np.array([float(y) for _, y in points])
        assert len(points) == (10 if log else 11)
        steps = np.diff(heights)
        assert (np.ptp(steps) < 0.3) == log
        seen.one("#curve-log").click()


def test_a_peak_does_not_flatten_the_rest_and_the_page_says_so(opened):
    comparison = made(losses=("hinge",), rates=(1e-4,), seeds=(0,))
    wave = [[step, math.sin(step)] for step in range(200)]
    heights = {}
    for name, first in (("plain", 0.0), ("peak", -1e6)):
        comparison["runs"][0]["curves"] = {"critic_loss": [[-1, first], *wave]}
        seen = opened(comparison)
        points = re.findall(r"[ML][\d.]+ (-?[\d.]+)", seen.read("#curve-chart .line", "element.getAttribute('d')")[0])
        heights[name] = np.ptp([float(y) for y in points[1:]])
        assert ("Peaks are cut off" in seen.texts("#curve-hint")[0]) == (name == "peak")
    assert heights["peak"] > 0.6 * heights["plain"]


def test_the_best_of_few_is_drawn_for_each_system(opened):
    comparison = made()
    seen = opened(comparison)
    assert len(seen.all("#expected-chart .line")) == 2
    title, *lines = hovered(seen, "#expected-chart svg")
    curves = {system["name"]: dict(system["expected_best"]) for system in comparison["systems"]}
    assert {name: len(curve) for name, curve in curves.items()} == {"loss=hinge": 6, "loss=logistic": 7}
    assert title == "k 7"
    assert lines == [f"{curves['loss=logistic'][7]:.4g}  loss=logistic"]
    texts = dict(seen.rows("systems", "system", "expected best of"))
    assert texts == {
        "loss=hinge": f"1: 5, 4: 4.25, 6: {4 + 1 / 6:.4g}",
        "loss=logistic": f"1: 6, 4: 5.25, 7: {5 + 1 / 7:.4g}",
    }
    assert all(text.endswith("best of 7") for _, text in seen.rows("systems", "system", "best of k"))


# ------------------------------------------------------------------------------------ scatter and samples, in a browser


def centres(seen):
    """{index of the run: middle of its mark [2]}, on the chart."""
    boxes = seen.read(
        ".mark", "(box => [element.dataset.run, box.x + box.width / 2, box.y + box.height / 2])(element.getBBox())"
    )
    return {int(run): np.array(place) for run, *place in boxes}


def test_the_scatter_has_a_mark_for_every_run(opened):
    comparison = made()
    runs, seen = comparison["runs"], opened(comparison)
    assert seen.read("#scatter-field option", "element.value") == ["rate", "seed"]
    assert "rate (log)" in seen.texts("#scatter-chart text")
    places = centres(seen)
    assert len(seen.all(".mark")) == len(runs) == len(places)
    crosses = {int(index) for index in seen.read(".mark.cross", "element.dataset.run")}
    assert crosses == {index for index, run in enumerate(runs) if run["status"] == "diverged"}
    measured = [i for i, run in enumerate(runs) if run["status"] != "diverged" and run["last"] is not None]
    heights = np.array([places[index][1] for index in measured])
    values = np.array([runs[index]["last"] for index in measured])
    slope, offset = np.polyfit(values, heights, 1)
    np.testing.assert_allclose(heights, slope * values + offset, atol=0.01)
    assert slope < 0
    assert all(places[index][1] < heights.min() for index in range(len(runs)) if index not in measured)
    for system in range(2):  # which stand side by side
        own = [index for index in range(len(runs)) if runs[index]["system"] == system]
        logs = np.array([math.log10(runs[index]["fields"]["rate"]) for index in own])
        across = np.array([places[index][0] for index in own])
        np.testing.assert_allclose(across, np.poly1d(np.polyfit(logs, across, 1))(logs), atol=0.01)
        colours = {seen.read(f".mark[data-run='{index}']", "element.getAttribute('stroke')")[0] for index in own}
        assert colours == {f"var(--c{system})"}
    seen.choose("#scatter-field", "seed")
    assert "seed" in seen.texts("#scatter-chart text")
    assert len(seen.all(".mark")) == len(runs)
    seen.choose("#scatter-value", "best")
    assert "best distance" in seen.texts("#scatter-chart text")
    seen.one(".mark[data-run='27']").click()  # nothing lies over the last one
    assert seen.texts("#scatter-run")[0].startswith("027; loss=logistic, rate=")
    assert seen.selected() == [[27], [27], [27]]


def latest(run, step):
    return next((sample["image"] for sample in reversed(run["samples"]) if sample["step"] <= step), None)


def best_runs(comparison):
    finished = [run for run in comparison["runs"] if run["status"] == "finished"]
    others = [run for run in comparison["runs"] if run["status"] != "finished"]
    return [run for part in (finished, others) for run in in_order(part, lambda run: run["last"], False)]


def test_one_slider_moves_all_pictures_and_none_is_later_than_it(opened):
    comparison = made()
    seen = opened(comparison)
    steps = sorted({sample["step"] for run in comparison["runs"] for sample in run["samples"]})
    best = best_runs(comparison)
    slider = seen.one("#sample-step")
    for step in reversed(steps):
        assert seen.texts("#sample-output") == [f"step {step:,}"]
        assert seen.cards() == {run["name"]: latest(run, step) for run in best[:12]}
        assert list(seen.cards()) == [run["name"] for run in best[:12]]
        slider.send_keys("\ue012")  # the left arrow
    assert None in seen.cards().values()  # half of the runs have no picture at the first step
    assert "no picture yet" in seen.texts(".card .none")
    seen.one("#sample-all").click()
    assert seen.cards() == {run["name"]: latest(run, steps[0]) for run in best}
    seen.one("#sample-filter").send_keys("diverged")
    assert list(seen.cards()) == [run["name"] for run in best if run["status"] == "diverged"]


def test_the_pictures_play_to_the_end(opened):
    seen = opened(made())
    button = seen.one("#sample-play")
    button.click()
    assert seen.texts("#sample-output") == ["step 200"]
    assert button.text == "pause"
    deadline = time.monotonic() + 20
    while button.text == "pause" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert button.text == "play"
    assert seen.texts("#sample-output") == ["step 1,000"]
    button.click()
    button.click()
    assert button.text == "play"
    assert seen.texts("#sample-output") != ["step 1,000"]


def test_a_click_on_a_run_brings_its_card_into_view(opened):
    comparison = made()
    seen = opened(comparison)
    worst = best_runs(comparison)[-1]
    index = comparison["runs"].index(worst)
    assert worst["name"] not in seen.cards()
    seen.all("#runs .name")[index].click()
    assert list(seen.cards())[-1] == worst["name"]
    assert seen.selected() == [[index]] * 3
    [[top, bottom, height]] = seen.read(
        ".card.selected", "(box => [box.top, box.bottom, innerHeight])(element.getBoundingClientRect())"
    )
    assert 0 <= top < bottom <= height
    first = comparison["runs"].index(best_runs(comparison)[0])
    seen.all("#runs .name")[first].send_keys("\ue007")
    assert seen.selected() == [[first]] * 3


@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_into_its_window(opened, width):
    seen = opened(made())
    emulated = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    seen.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulated)
    seen.driver.execute_script("dispatchEvent(new Event('resize'))")
    wide, window = seen.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    chart = seen.one("#curve-chart svg").size["width"]
    seen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert window == width
    assert wide <= width
    assert 0.85 * width < chart < width
