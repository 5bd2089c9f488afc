"""The page in a real browser: every view, the numbers behind a cell, tables, themes, paper."""

import dataclasses
import functools
import io
import shutil

import numpy as np
import pandas as pd
import plotly.offline
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from jaxalign.report import render
from jaxalign.report.html import html_page
from jaxalign.report.page import write_report
from jaxalign.report.tabs import analysis_views

_PROGRAMS = ("chromium", "chromedriver")
_FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)
EVIL = "<img src=x onerror=document.title='evil'> \"quoted\" & 'co'"
METRICS = ("mutual_knn", "information_imbalance")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One session for all tests of this file."""
    paths = {name: shutil.which(name) for name in _PROGRAMS}
    if missing := [name for name, path in paths.items() if path is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*_FLAGS, f"user-data-dir={profile}", "window-size=1500,1400"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[_PROGRAMS[1]]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def alignment(fake_alignment):
    """Nine models, one with a name that would like to be a tag, with nulls and intervals."""
    made = fake_alignment(9, metrics=METRICS)
    names = [EVIL, *list(made.cards)[1:]]
    cards = {
        name: dataclasses.replace(card, id=name)
        for name, card in zip(names, made.cards.values(), strict=True)
    }

    class Tested(type(made)):
        """With the columns that a null and intervals add."""

        @functools.cached_property
        def table(self):
            found = super().table
            value = found["value"]
            added = {
                "calibrated": value.clip(lower=0.1) - 0.1, "null_mean": 0.01, "z": 40 * value,
                "p": 0.02 * (1 - value), "q": 0.1 * (1 - value), "ci_low": value - 0.02,
                "ci_high": value + 0.03, "null": "closed-form moments", "reason": "",
            }  # fmt: skip
            return found.assign(**added)

    return Tested(**{**vars(made), "cards": cards})


@pytest.fixture(scope="module")
def page(browser, alignment, tmp_path_factory):
    """The page opened; downloads go into the folder that is returned."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "get_plotlyjs", plotly.offline.get_plotlyjs)
        patch.setattr(render, "analysis_views", analysis_views.analysis_views)
        index = write_report(alignment, folder)
    settings = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
    browser.get(index.as_uri())
    return folder


def link(browser, name):
    return browser.find_element(By.CSS_SELECTOR, f'nav a[data-view="{name}"]')


def open_view(browser, name):
    """Clicks a tab; the page hears of its new address after the click has returned."""
    link(browser, name).click()
    wait(browser, lambda: visible(browser) == [name])


def wait(browser, condition):
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda _: condition())


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def to_cell(browser, x, y):
    """Moves the pointer onto a cell of the matrix by its place."""
    cells = browser.find_element(By.CSS_SELECTOR, "#matrix-plot .nsewdrag")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cells)
    script = """
        const {xaxis, yaxis} = document.getElementById("matrix-plot")._fullLayout;
        return [xaxis.d2p(arguments[0]) - xaxis._length / 2,
                yaxis.d2p(arguments[1]) - yaxis._length / 2];"""
    dx, dy = browser.execute_script(script, x, y)
    chain = ActionChains(browser, duration=20)
    chain.move_to_element_with_offset(cells, round(dx) + 3, round(dy)).move_by_offset(-3, 0)
    chain.perform()


def click_cell(browser, x, y):
    to_cell(browser, x, y)
    ActionChains(browser).click().perform()
    wait(browser, lambda: browser.find_elements(By.ID, "pair-cards"))


def shown(browser):
    """Values and names of the matrix as drawn."""
    script = """
        const box = document.getElementById("matrix-plot");
        const cells = box.data.find((trace) => trace.name === "cells");
        return [cells.z, box.layout.yaxis.ticktext, box.layout.xaxis.ticktext];"""
    return browser.execute_script(script)


def choose(browser, form, name, text):
    Select(browser.find_element(By.CSS_SELECTOR, f"#{form} [name={name}]")).select_by_visible_text(
        text
    )


def row_of(alignment, metric, a, b):
    table = alignment.table
    sides = (table["model_a"] == a) & (table["model_b"] == b)
    if metric == "mutual_knn":
        sides |= (table["model_a"] == b) & (table["model_b"] == a)
    return table[sides & (table["metric"] == metric)].iloc[0]


def visible(browser):
    return browser.execute_script("""return [...document.querySelectorAll("section.view")]
        .filter((view) => view.getClientRects().length).map((view) => view.id)""")


def test_every_view_is_reached_by_a_click_and_draws_its_charts(browser, page):
    names = [a.get_attribute("data-view") for a in browser.find_elements(By.CSS_SELECTOR, "nav a")]
    assert names[:3] == ["overview", "matrix", "pairs"]
    assert len(names) > 9
    for name in names:
        open_view(browser, name)
        assert browser.current_url.endswith(f"#{name}")
        for box in browser.find_elements(By.CSS_SELECTOR, f"#{name} .plot"):
            browser.execute_script("arguments[0].scrollIntoView()", box)
            wait(browser, lambda box=box: box.find_elements(By.CSS_SELECTOR, ".main-svg"))
    assert browser.title != "evil"
    assert errors(browser) == []


def test_an_anchor_opens_its_view(browser, page):
    browser.execute_script("location.hash = 'chart-pairs-mutual_knn'")
    wait(browser, lambda: browser.find_element(By.ID, "relations").is_displayed())
    browser.back()


def test_pointing_and_clicking_show_the_numbers_of_the_table(browser, page, alignment):
    open_view(browser, "matrix")
    _, rows, columns = shown(browser)
    assert rows == columns
    place = next(i for i, name in enumerate(rows) if name.startswith("&lt;img"))
    ids = browser.execute_script("""return [...document.querySelectorAll("#table-models tbody th")]
        .map((cell) => cell.textContent)""")
    other = (place + 2) % len(rows)
    to_cell(browser, other, place)
    tip = browser.find_element(By.ID, "tip")
    wait(browser, tip.is_displayed)
    # The tables stand in the order of the first matrix, too.
    a, b = ids[place], ids[other]
    assert a == EVIL
    wanted = row_of(alignment, "mutual_knn", a, b)
    assert f"{a} – {b}" in tip.text
    for number in (f"{wanted['value']:.4f}", f"{wanted['z']:.1f}", "1,000", "closed-form moments"):
        assert number in tip.text
    click_cell(browser, other, place)
    for metric, pair in zip(METRICS, ((a, b), (a, b), (b, a)), strict=False):
        wanted = row_of(alignment, metric, *pair)
        arrow = "" if metric == "mutual_knn" else " →"
        cells = browser.find_element(By.CSS_SELECTOR, f'#pair [data-metric="{metric}{arrow}"]')
        assert f"{wanted['value']:.3f}" in cells.text or f"{wanted['value']:.4f}" in cells.text
        value = cells.find_element(By.CSS_SELECTOR, "[data-key=calibrated]").text
        assert float(value) == pytest.approx(wanted["calibrated"], abs=5.1e-4)
        assert float(cells.find_element(By.CSS_SELECTOR, "[data-key=q]").text) == pytest.approx(
            wanted["q"], rel=0.06
        )
    cards = browser.find_element(By.ID, "pair-cards").text
    assert EVIL in cards
    assert alignment.cards[b].training_data in cards
    assert errors(browser) == []


@pytest.mark.parametrize("order", ["by name", "by modality", "by training data"])
def test_reordering_moves_names_and_values_together(browser, page, alignment, order):
    open_view(browser, "matrix")
    choose(browser, "matrix-controls", "order", order)
    choose(browser, "matrix-controls", "values", "calibrated (0 = chance, 1 = perfect match)")
    values, rows, columns = shown(browser)
    ids = list(alignment.cards)
    table = alignment.table[alignment.table["metric"] == "mutual_knn"]
    wanted = table.set_index(["model_a", "model_b"])["calibrated"].to_dict()
    names = {name: name for name in ids[1:]} | {rows[ids_place(rows)]: EVIL}
    assert {names[row] for row in rows} == set(ids)
    if order == "by modality":
        labels = [alignment.cards[names[row]].modality for row in rows]
        assert labels == sorted(labels)
    for i, a in enumerate(rows):
        for j, b in enumerate(columns):
            pair = names[a], names[b]
            assert (values[i][j] is None) == (i == j)
            number = wanted.get(pair, wanted.get(pair[::-1]))
            assert i == j or values[i][j] == pytest.approx(number, abs=1e-6)
    choose(browser, "matrix-controls", "values", "raw scores")
    choose(browser, "matrix-controls", "order", "by cluster")


def ids_place(rows):
    return next(i for i, name in enumerate(rows) if name.startswith("&lt;img"))


def test_search_marks_models_and_can_leave_the_others_out(browser, page):
    open_view(browser, "matrix")
    search = browser.find_element(By.CSS_SELECTOR, "#matrix-controls [name=search]")
    search.send_keys("rxnfp")
    marked = [name for name in shown(browser)[1] if name.startswith("<b>")]
    assert sorted(marked) == ["<b>rxnfp-0</b>", "<b>rxnfp-1</b>"]
    assert "2 of 9 models found" in browser.find_element(By.ID, "matrix-words").text
    browser.find_element(By.CSS_SELECTOR, "#matrix-controls [name=only]").click()
    values, rows, columns = shown(browser)
    assert (len(values), len(rows), len(columns)) == (2, 2, 9)
    browser.find_element(By.CSS_SELECTOR, "#matrix-controls [name=only]").click()
    search.send_keys(Keys.BACKSPACE * 5)


def test_the_keyboard_reaches_a_pair(browser, page):
    open_view(browser, "matrix")
    box = browser.find_element(By.ID, "matrix-plot")
    choose(browser, "matrix-controls", "order", "by name")
    box.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    rows = shown(browser)[1]
    heading = browser.find_element(By.CSS_SELECTOR, "#pair h3").text
    assert heading.split(" – ") == [rows[2], rows[1]]
    choose(browser, "matrix-controls", "order", "by cluster")


def test_pairs_are_sorted_filtered_and_downloaded(browser, page, alignment):
    open_view(browser, "pairs")
    head = browser.find_element(By.XPATH, "//table[@id='table-pairs']//th[.='Score']")
    button = head.find_element(By.TAG_NAME, "button")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    table = alignment.table
    pairs = table[(table["model_a"] != table["model_b"]) & (table["metric"] == "mutual_knn")]
    best = pairs.loc[pairs["value"].idxmax()]
    first = browser.find_element(By.CSS_SELECTOR, "#table-pairs tbody tr")
    assert {cell.text for cell in first.find_elements(By.CSS_SELECTOR, "th, td")} >= {
        best["model_a"], best["model_b"], f"{best['value']:.4f}"
    }  # fmt: skip
    browser.find_element(By.CSS_SELECTOR, "#pairs-table input").send_keys("with noise")
    browser.find_element(By.CSS_SELECTOR, "#pairs-table .save").click()
    saved = downloaded(browser, page / "pairs.csv")
    noise = [name for name in alignment.cards if "noise" in name]
    wanted = pairs[pairs["model_a"].isin(noise) | pairs["model_b"].isin(noise)]
    wanted = wanted.sort_values("value", ascending=False)
    np.testing.assert_allclose(saved["Score"], wanted["value"], rtol=1e-6)
    np.testing.assert_allclose(saved["q"], wanted["q"], rtol=1e-6)
    assert set(saved["Model a"]) | set(saved["Model b"]) == set(alignment.cards)
    first = browser.find_element(By.CSS_SELECTOR, "#table-pairs tbody tr")
    names = {cell.text for cell in first.find_elements(By.CSS_SELECTOR, "th, td")[:2]}
    first.click()
    wait(browser, lambda: visible(browser) == ["matrix"])
    assert set(browser.find_element(By.CSS_SELECTOR, "#pair h3").text.split(" – ")) == names


def test_all_metrics_are_downloaded_from_the_page_alone(browser, page, alignment):
    open_view(browser, "pairs")
    browser.find_element(By.ID, "download-all").click()
    saved = downloaded(browser, page / "scores.csv")
    table = alignment.table
    wanted = table[table["model_a"] != table["model_b"]]
    assert len(saved) == len(wanted)
    keys = ["metric", "model_a", "model_b"]
    both = saved.merge(wanted, on=keys, suffixes=("", "_wanted"))
    assert len(both) == len(wanted)
    for name in ("value", "calibrated", "ci_low", "p", "q", "z", "n", "k"):
        np.testing.assert_allclose(both[name], both[f"{name}_wanted"], rtol=1e-6)


def downloaded(browser, path):
    wait(browser, path.is_file)
    return pd.read_csv(io.StringIO(path.read_text()))


def test_dark_and_light_reach_page_and_charts(browser, page):
    open_view(browser, "relations")
    seen = {}
    for _ in range(2):
        box = browser.find_element(By.CSS_SELECTOR, "#relations .plot")
        wait(browser, lambda box=box: box.find_elements(By.CSS_SELECTOR, ".xtick text"))
        tick = box.find_element(By.CSS_SELECTOR, ".xtick text").value_of_css_property("fill")
        paper = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        theme = browser.execute_script("return document.documentElement.dataset.theme")
        seen[theme] = (brightness(tick), brightness(paper))
        browser.find_element(By.ID, "theme").click()
    assert seen["light"][0] < 60 < 240 < seen["light"][1]
    assert seen["dark"][1] < 60 < 200 < seen["dark"][0]


def brightness(color):
    numbers = color[color.index("(") + 1 : -1].split(",")[:3]
    return np.mean([float(number) for number in numbers])


def test_paper_shows_every_view_with_its_charts(browser, page):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    views = browser.find_elements(By.CSS_SELECTOR, "section.view")
    assert all(view.is_displayed() for view in views)
    assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
    for box in browser.find_elements(By.CSS_SELECTOR, ".plot"):
        assert box.find_elements(By.CSS_SELECTOR, ".main-svg")
        assert 300 < box.size["width"] <= 720
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert errors(browser) == []


def test_many_models_hide_their_names_until_one_zooms_in(browser, page, fake_alignment, tmp_path):
    large = fake_alignment(80, metrics=("mutual_knn",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "get_plotlyjs", plotly.offline.get_plotlyjs)
        index = write_report(large, tmp_path)
    browser.get(index.as_uri() + "#matrix")
    names = functools.partial(browser.find_elements, By.CSS_SELECTOR, "#matrix-plot .ytick text")
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#matrix-plot .main-svg"))
    assert names() == []
    part = "{'xaxis.range': [9.5, 29.5], 'yaxis.range': [29.5, 9.5]}"
    browser.execute_script(f"Plotly.relayout('matrix-plot', {part})")
    wait(browser, lambda: len(names()) == 20)
    assert errors(browser) == []
