// All pairs as a table, and all numbers of the page as one CSV file.

const pairs = (() => {
  const form = document.getElementById("pairs-controls");
  const all = [
    ["Model a", 0], ["Model b", 0], ["Relation", 0], ["Score", 1], ["Low", 1], ["High", 1], ["Calibrated", 1],
    ["z", 1], ["p", 1], ["q", 1], ["Chance", 1], ["n", 1], ["Null", 0], ["Remark", 0],
  ].map(([title, number]) => ({ title, number: Boolean(number) }));

  // i < j, and both directions of directed metrics.
  function pairsOf(dataset, metric) {
    const m = dataset.models.length, found = [];
    for (let i = 0; i < m; i++) {
      for (let j = metric.symmetric ? i + 1 : 0; j < m; j++) if (i !== j) found.push([i, j]);
    }
    return found;
  }

  function values(dataset, metric, i, j) {
    const found = payload.pair(dataset, metric, i, j);
    const remark = found.reason || (found.q > 0.05 ? "ns" : "");
    return [dataset.models[i].id, dataset.models[j].id, payload.relation(dataset, i, j), found.value, found.ci_low,
      found.ci_high, found.calibrated, found.z, found.p, found.q, found.null_mean, found.n, found.null, remark];
  }

  const stated = (value) => value !== "" && !Number.isNaN(value);
  const oneDecimal = (value) => (Number.isFinite(value) ? fixed(value, 1) : "–");
  const four = (value) => score(value, 4);
  const shown = [null, null, null, four, score, score, score, oneDecimal, probability, probability, score, integer, null, null];

  function row(raw, kept, open) {
    const texts = kept.map((c) => (shown[c] ? shown[c](raw[c]) : raw[c]));
    const keys = kept.map((c) => (stated(raw[c]) ? raw[c] : undefined));
    const make = () => {
      const cells = kept.map((c, place) => cellElement([texts[place], null, all[c].number ? "n" : ""], place));
      const made = element("tr", { title: "Show this pair in the matrix" }, ...cells);
      made.addEventListener("click", open);
      return made;
    };
    return { texts, keys, make };
  }

  // One line a pair and metric, as in table.csv.
  function everything() {
    const names = ["dataset", "model_a", "model_b", "relation", "metric", "k", "value", "ci_low", "ci_high", "calibrated", "z", "p", "q", "null_mean", "n", "null", "reason"];
    const lines = [names];
    for (const dataset of payload.datasets) {
      for (const metric of dataset.metrics) {
        for (const [i, j] of pairsOf(dataset, metric)) {
          const found = payload.pair(dataset, metric, i, j);
          const known = { ...found, dataset: dataset.name, model_a: dataset.models[i].id, model_b: dataset.models[j].id,
            relation: payload.relation(dataset, i, j), metric: metric.id };
          lines.push(names.map((name) => known[name]));
        }
      }
    }
    return lines;
  }

  let built = false;

  // Columns in which no pair has anything are left out.
  function build() {
    built = true;
    const [which, number] = [form.elements.dataset.value, form.elements.metric.value];
    const dataset = payload.datasets[which], metric = dataset.metrics[number];
    const places = pairsOf(dataset, metric);
    const raw = places.map(([i, j]) => values(dataset, metric, i, j));
    const kept = all.map((_, c) => c).filter((c) => raw.some((line) => stated(line[c])));
    const columns = kept.map((c) => all[c]);
    const rows = raw.map((line, at) => row(line, kept, () => matrix.open(which, number, ...places[at])));
    const heads = columns.map(({ title, number: right }) => element("th", { scope: "col", class: right ? "number" : "" }, title));
    const body = element("tbody");
    const tools = element("div", { class: "tools" });
    const made = element("table", { id: "table-pairs" }, element("thead", {}, element("tr", {}, ...heads)), body);
    const region = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Pairs" }, made);
    document.getElementById("pairs-table").replaceChildren(tools, region);
    new DataTable("pairs", columns, rows, heads, body, tools);
  }

  function start() {
    if (!payload) return;
    fillSelectors(form, () => { if (built) build(); });
    document.getElementById("download-all").addEventListener("click", () => download("scores", everything()));
    tabs.listen("pairs", () => { if (!built) build(); });
  }

  return { start, build: () => { if (payload && !built) build(); } };
})();
