// Everything about one pair of models: all metrics, and both cards side by side.

function pairDetail(dataset, i, j) {
  const [a, b] = [dataset.models[i], dataset.models[j]];
  const same = i === j;
  const heading = same ? a.id : `${a.id} – ${b.id}`;
  const parts = [element("h3", {}, heading)];
  if (!same) {
    parts.push(element("p", { class: "note" }, payload.relation(dataset, i, j)));
    parts.push(scoresTable(dataset, i, j));
  } else {
    parts.push(element("p", { class: "note" }, "A model with itself: a perfect match by definition."));
  }
  parts.push(cardsTable(a, b));
  return parts;
}

// One row a metric; two of directed ones.
function scoresTable(dataset, i, j) {
  const rows = dataset.metrics.flatMap((metric) => {
    const ways = metric.symmetric ? [[i, j, ""]] : [[i, j, " →"], [j, i, " ←"]];
    return ways.flatMap(([from, to, arrow]) => scoresRows(dataset, metric, from, to, arrow));
  });
  const head = ["Metric", "Score", "Calibrated", "p", "q"].map((words, column) =>
    element("th", { scope: "col", class: column ? "number" : "" }, words));
  const table = element("table", { id: "pair-scores" }, element("caption", {}, "All metrics"),
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return table;
}

// Numbers, and below them under which settings they hold.
function scoresRows(dataset, metric, from, to, arrow) {
  const found = payload.pair(dataset, metric, from, to);
  const number = (text, key) => element("td", { class: "number", "data-key": key }, text);
  const name = element("th", { scope: "row" }, payload.metricTitle(metric) + arrow);
  const facts = [];
  if (Number.isFinite(found.n)) facts.push(`n = ${integer(found.n)}`);
  if (Number.isFinite(found.null_mean)) facts.push(`chance ${score(found.null_mean)}`);
  if (found.null) facts.push(found.null);
  if (found.reason) facts.push(found.reason);
  const value = number(score(found.value), "value");
  if (Number.isFinite(found.ci_low)) {
    value.append(element("div", { class: "note" }, `${score(found.ci_low)} to ${score(found.ci_high)}`));
    value.append(intervalBar(metric, found));
  }
  const row = element("tr", { "data-metric": metric.id + arrow }, name, value,
    number(score(found.calibrated), "calibrated"), number(probability(found.p), "p"), number(probability(found.q), "q"));
  return [row, element("tr", { class: "facts" }, element("td", { colspan: 5 }, facts.join(" · ")))];
}

// The interval on the scale of the metric's matrix.
function intervalBar(metric, { value, ci_low: low, ci_high: high }) {
  const share = (x) => 100 * Math.max(0, Math.min(1, (x - metric.low) / (metric.high - metric.low)));
  const band = element("b", { style: `left:${share(low)}%;right:${100 - share(high)}%` });
  const mark = element("i", { style: `left:${share(value)}%` });
  return element("div", { class: "range", "aria-hidden": "true" }, band, mark);
}

function cardsTable(a, b) {
  const same = a === b;
  const facts = [...new Set([...Object.keys(a.card), ...Object.keys(b.card)])];
  const rows = facts.map((fact) => {
    const [x, y] = [a.card[fact] ?? "–", b.card[fact] ?? "–"];
    const shared = !same && x === y ? "same" : "";
    const cells = same ? [element("td", {}, x)] : [element("td", { class: shared }, x), element("td", { class: shared }, y)];
    return element("tr", {}, element("th", { scope: "row" }, fact), ...cells);
  });
  const head = [a, ...(same ? [] : [b])].map((model) => element("th", { scope: "col" }, model.id));
  return element("table", { id: "pair-cards" }, element("caption", {}, same ? "Card" : "Cards (gray: the same)"),
    element("thead", {}, element("tr", {}, element("td", {}), ...head)), element("tbody", {}, ...rows));
}

// What a hovering pointer shows.
function pairTip(dataset, metric, i, j) {
  const found = payload.pair(dataset, metric, i, j);
  const arrow = metric.symmetric ? "–" : "→";
  const lines = [["score", score(found.value, 4)]];
  if (Number.isFinite(found.ci_low)) lines.push(["interval", `${score(found.ci_low)} to ${score(found.ci_high)}`]);
  if (Number.isFinite(found.calibrated)) lines.push(["calibrated", score(found.calibrated)]);
  if (Number.isFinite(found.z)) lines.push(["z", fixed(found.z, 1)]);
  if (Number.isFinite(found.p)) lines.push(["p, q", `${probability(found.p)}, ${probability(found.q)}`]);
  if (Number.isFinite(found.null_mean)) lines.push(["chance", score(found.null_mean)]);
  if (Number.isFinite(found.n)) lines.push(["n", integer(found.n)]);
  if (found.k !== null) lines.push(["k", integer(found.k)]);
  if (found.null) lines.push(["null", found.null]);
  if (found.reason) lines.push(["not computed", found.reason]);
  const list = lines.flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]);
  return [element("strong", {}, `${dataset.models[i].id} ${arrow} ${dataset.models[j].id}`),
    element("span", { class: "note" }, i === j ? "a model with itself" : payload.relation(dataset, i, j)),
    element("dl", {}, ...list)];
}
