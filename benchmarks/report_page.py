"""Size of the report's page, and how fast Chromium opens it, for many models and metrics.

Usage:
    python benchmarks/report_page.py                       60 models × 12 metrics
    python benchmarks/report_page.py --models=200 --metrics=4

Prints the seconds to write the report, the size of `index.html`, and for some openings in a fresh
browser: when its words could be read, when scripts had made it ready, and when the charts of the
overview and the matrix stood, with the CPU time of the page's main thread. Scores are made up.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from absl import app, flags

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import Alignment
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import METRICS, metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.report.page import write_report

_MODELS = flags.DEFINE_integer("models", 60, "Number of models.")
_METRICS = flags.DEFINE_integer("metrics", 12, "Number of metrics of pairs.")
_OPENINGS = flags.DEFINE_integer("openings", 3, "Fresh browsers that open the page.")
_MODALITIES = ("string", "graph", "3d", "text", "control")
_FLAGS = "headless no-sandbox disable-gpu disable-background-networking window-size=1500,1000"


def main(_: list[str]) -> None:
    """Writes a report and opens it."""
    made = _alignment(_MODELS.value, _pair_metrics()[: _METRICS.value])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        page = write_report(made, folder)
        print(f"{len(made.cards)} models, {len(made.metrics)} metrics")
        print(f"written in {time.perf_counter() - start:.1f} s")
        print(f"index.html {page.stat().st_size / 1e6:.2f} MB")
        for _ in range(_OPENINGS.value):
            print(_open(page))


def _pair_metrics() -> list[str]:
    return [name for name, found in METRICS.items() if not isinstance(found, ModelMetric)]


def _alignment(count: int, metrics: list[str]) -> Alignment:
    rng = np.random.default_rng(0)
    names = [f"encoder-{number:03d}-with-a-name" for number in range(count)]
    cards = {
        name: ModelCard(
            **{"id": name, "name": name, "family": f"family {i % 17}", "pretrained": i % 4 > 0},
            **{"modality": _MODALITIES[i % 5], "training_data": f"corpus {i % 7}: molecules"},
            citation="Somebody et al. (2020), Journal 1, 2",
        )
        for i, name in enumerate(names)
    }
    places = rng.normal(size=(count, 6)) + 3 * np.eye(17, 6)[np.arange(count) % 17]
    near = np.exp(-((places[:, None] - places[None]) ** 2).mean(-1))
    tables = [_table(metric, names, near, rng) for metric in metrics]
    settings = {"normalization": "l2", "similarity": "inner"}
    ks = {name: {"k": 10 if "knn" in name else None, **settings} for name in metrics}
    facts = {"n": 2000, "ids": [], "metrics": ks, "models": {}, "grouped": False, "graph_keys": {}}
    facts |= {"dataset": {"name": "made up"}, "failed_models": {}, "versions": {}}
    return Alignment(pd.concat(tables, ignore_index=True), cards, facts, GraphCache(None))


def _table(metric: str, names: list[str], near: np.ndarray, rng) -> pd.DataFrame:
    m = len(names)
    symmetric = metric_definition(metric).symmetric
    i, j = np.triu_indices(m) if symmetric else (x.ravel() for x in np.indices((m, m)))
    value = near[i, j] * rng.uniform(0.9, 1.1, len(i))
    label = np.array(names, dtype=object)
    columns = {"dataset": "made up", "model_a": label[i], "model_b": label[j], "metric": metric}
    columns |= {"variant": "", "value": value, "calibrated": np.clip(value - 0.05, 0, 1)}
    columns |= {"null_mean": 0.005, "z": 300 * value, "p": rng.uniform(size=len(i)) ** 9}
    columns |= {"q": rng.uniform(size=len(i)) ** 8, "ci_low": value - 0.01, "n": 2000}
    columns |= {"ci_high": value + 0.01, "null": "closed-form moments, gamma tail"}
    columns |= {"k": 10 if "knn" in metric else None, "normalization": "l2", "reason": ""}
    return pd.DataFrame(columns).astype({"k": "Int64"})


def _open(page: Path) -> str:
    from selenium import webdriver
    from selenium.webdriver.common.by import By

    options = webdriver.ChromeOptions()
    for flag in _FLAGS.split():
        options.add_argument(f"--{flag}")
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        # Named, so that selenium looks for no browser in the network.
        options.binary_location = shutil.which("chromium") or ""
        service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            driver.get(page.as_uri())
            ready = driver.execute_script("return Number(document.documentElement.dataset.ready)")
            charts = _drawn(driver, "#overview .main-svg")
            paint = driver.execute_script(
                "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            busy = _cpu(driver)
            clicked = driver.execute_script("return performance.now()")
            driver.find_element(By.CSS_SELECTOR, "nav a[data-view=matrix]").click()
            matrix = _drawn(driver, "#matrix .main-svg") - clicked
            matrix_busy = _cpu(driver) - busy
        finally:
            driver.quit()
    seconds = [value / 1e3 for value in (paint or 0.0, ready, charts, matrix)]
    return (
        f"words {seconds[0]:.2f} s, ready {seconds[1]:.2f} s, charts {seconds[2]:.2f} s "
        f"({busy:.2f} s of CPU); matrix {seconds[3]:.2f} s after its click ({matrix_busy:.2f} s)"
    )


def _cpu(driver) -> float:
    """Seconds of CPU that the page's main thread has used."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(metric["value"] for metric in found if metric["name"] == "TaskDuration")


def _drawn(driver, selector: str) -> float:
    """Milliseconds since the navigation at which an element was there."""
    script = f"return document.querySelector({selector!r}) && performance.now()"
    while (found := driver.execute_script(script)) is None:
        time.sleep(0.02)
    return found


if __name__ == "__main__":
    app.run(main)
