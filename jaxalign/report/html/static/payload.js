// Scores of all pairs, unpacked: numbers are float32 in base64, little-endian; of a symmetric metric
// the triangle i <= j is stored row by row, of a directed one the whole matrix.

const payload = (() => {
  const source = document.getElementById("data-explorer");
  if (!source) return null;
  const data = JSON.parse(source.textContent);
  const unpacked = new Map();

  function bytes(text) {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer;
  }

  // The numbers of one column: an array, a single number for all pairs, or null.
  function column(metric, name) {
    const packed = metric.columns[name] ?? null;
    if (typeof packed !== "string") return packed;
    if (!unpacked.has(metric)) unpacked.set(metric, {});
    const known = unpacked.get(metric);
    return (known[name] ??= new Float32Array(bytes(packed)));
  }

  function place(metric, m, i, j) {
    if (!metric.symmetric) return i * m + j;
    const low = Math.min(i, j), high = Math.max(i, j);
    return low * m - (low * (low - 1)) / 2 + high - low;
  }

  function at(dataset, metric, name, i, j) {
    const values = column(metric, name);
    if (values === null) return NaN;
    return typeof values === "number" ? values : values[place(metric, dataset.models.length, i, j)];
  }

  // How chance was counted for a pair, in words.
  function nullWords(dataset, metric, i, j) {
    if (!metric.nulls) return "";
    metric.nulls.list ??= new Uint16Array(bytes(metric.nulls.codes));
    return metric.nulls.words[metric.nulls.list[place(metric, dataset.models.length, i, j)]];
  }

  const reason = (dataset, metric, i, j) =>
    metric.reasons[place(metric, dataset.models.length, i, j)] ?? "";

  function relation(dataset, i, j) {
    dataset.relationList ??= new Uint8Array(bytes(dataset.relations));
    const packed = place({ symmetric: true }, dataset.models.length, i, j);
    return data.relations[dataset.relationList[packed]];
  }

  const has = (metric, name) => column(metric, name) !== null;
  const metricTitle = (metric) => metric.title + (metric.k === null ? "" : `, k = ${metric.k}`);

  // All numbers of one pair, read from i to j.
  function pair(dataset, metric, i, j) {
    const names = ["value", "calibrated", "ci_low", "ci_high", "z", "p", "q", "null_mean", "n"];
    const found = Object.fromEntries(names.map((name) => [name, at(dataset, metric, name, i, j)]));
    return { ...found, k: metric.k, null: nullWords(dataset, metric, i, j), reason: reason(dataset, metric, i, j) };
  }

  return { datasets: data.datasets, at, pair, has, relation, reason, metricTitle };
})();

// Select boxes for the data set and the metric, kept in step with what the data set holds.
function fillSelectors(form, changed) {
  const datasets = payload.datasets;
  const { dataset: which, metric } = form.elements;
  which.replaceChildren(...datasets.map((found, i) => element("option", { value: i }, found.name || "structures")));
  which.parentElement.hidden = datasets.length < 2;
  const fillMetrics = () => {
    const before = metric.selectedOptions[0]?.textContent;
    const titles = datasets[which.value].metrics.map(payload.metricTitle);
    metric.replaceChildren(...titles.map((title, i) => element("option", { value: i }, title)));
    metric.value = Math.max(0, titles.indexOf(before));
  };
  fillMetrics();
  which.addEventListener("change", () => { fillMetrics(); changed(true); });
  metric.addEventListener("change", () => changed(false));
  form.addEventListener("submit", (event) => event.preventDefault());
}
