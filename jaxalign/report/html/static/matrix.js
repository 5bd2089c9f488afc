// The matrix: controls, the plot, the pointer and the keyboard on it, and the pair beside it.

const matrix = (() => {
  const form = document.getElementById("matrix-controls");
  const box = document.getElementById("matrix-plot");
  const side = document.getElementById("pair");
  const tip = document.getElementById("tip");
  let state = null, bound = false, cursor = null;

  function choice() {
    const { dataset: which, metric, values, order, search, only } = form.elements;
    const dataset = payload.datasets[which.value];
    const chosen = dataset.metrics[metric.value];
    for (const option of values.options) option.disabled = !payload.has(chosen, option.value);
    if (values.selectedOptions[0].disabled) values.value = "value";
    const found = foundModels(dataset, search.value);
    return matrixState(dataset, chosen, { values: values.value, order: order.value, found, only: only.checked });
  }

  function draw() {
    charts.prepare();
    state = choice();
    const { traces, layout } = matrixFigure(state, box);
    layout.shapes = shapes();
    Plotly.react(box, traces, layout, { ...charts.config, toImageButtonOptions: { format: "svg", filename: "matrix" } });
    if (!bound) bind();
    adjust(true);
    describe();
  }

  function adjust(square) {
    const wanted = adjustment(state, box, { square });
    if (wanted) Plotly.relayout(box, wanted);
  }

  // Lines between groups, bands of models that were found, the frame of the chosen cell.
  function shapes() {
    const { dataset, rows, columns, order, found } = state;
    const lines = [];
    const line = { color: theme.color("ink"), width: 1 };
    for (const { place } of groupStarts(dataset, columns, order).slice(1)) {
      lines.push({ type: "line", x0: place - 0.5, x1: place - 0.5, y0: -0.5, y1: rows.length - 0.5, line });
    }
    for (const { place } of groupStarts(dataset, rows, order).slice(1)) {
      lines.push({ type: "line", y0: place - 0.5, y1: place - 0.5, x0: -0.5, x1: columns.length - 0.5, line });
    }
    const band = { type: "rect", layer: "above", line: { color: "#d55e00", width: 1.5 } };
    if (found && rows.length === columns.length) {
      rows.forEach((i, place) => {
        if (found.has(i)) lines.push({ ...band, x0: -0.5, x1: columns.length - 0.5, y0: place - 0.5, y1: place + 0.5 });
      });
    }
    if (cursor) {
      const frame = { color: "#d55e00", width: 2.5 };
      lines.push({ type: "rect", x0: cursor.x - 0.5, x1: cursor.x + 0.5, y0: cursor.y - 0.5, y1: cursor.y + 0.5, line: frame });
    }
    return lines;
  }

  function describe() {
    const { dataset, metric, found, values, order } = state;
    const words = [metric.definition, metric.similarity ? "" : "Smaller is more alike.",
      metric.symmetric ? "" : "Directed: read from the row to the column."];
    if (values === "calibrated") words.push("Calibrated: 0 up to the 5 % level of chance, 1 for a perfect match.");
    if (found) words.push(`${integer(found.size)} of ${integer(dataset.models.length)} models found.`);
    document.getElementById("matrix-words").textContent = words.filter(Boolean).join(" ");
    legend(dataset, order);
  }

  function legend(dataset, order) {
    const by = order in GROUPED ? order : "modality";
    const colors = groupColors(dataset, by);
    const used = new Set(dataset.models.map((model) => model[by]));
    const entry = (color, words) => element("span", {}, element("i", { style: `background:${color}` }), words);
    const entries = Object.keys(colors).filter((label) => used.has(label)).map((label) => entry(colors[label], label || "not stated"));
    entries.push(entry("var(--self)", "model with itself"), entry("var(--paper)", "not computed"));
    document.getElementById("matrix-legend").replaceChildren(`Strips: ${GROUPED[by]}. `, ...entries);
  }

  // Plotly can only be listened to after it has drawn once.
  function bind() {
    bound = true;
    box.on("plotly_hover", ({ points, event }) => {
      const point = points.find((found) => found.data.name === "cells");
      if (point) showTip(point.pointNumber[1], point.pointNumber[0], event);
    });
    box.on("plotly_unhover", () => { tip.hidden = true; });
    box.on("plotly_click", ({ points }) => {
      const point = points.find((found) => found.data.name === "cells");
      if (point) choose(point.pointNumber[1], point.pointNumber[0]);
    });
    box.on("plotly_relayout", (change) => {
      if (Object.keys(change).some((key) => /axis2?(\.range|\.autorange)/.test(key))) adjust(false);
    });
    box.addEventListener("keydown", move);
    window.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  }

  function showTip(x, y, event) {
    tip.replaceChildren(...pairTip(state.dataset, state.metric, state.rows[y], state.columns[x]));
    tip.hidden = false;
    const { clientX, clientY } = event;
    const { width, height } = tip.getBoundingClientRect();
    const left = clientX + 18 + width > innerWidth ? clientX - width - 18 : clientX + 18;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(clientY + 14, innerHeight - height - 8))}px`;
  }

  function choose(x, y) {
    cursor = { x, y };
    Plotly.relayout(box, { shapes: shapes() });
    side.replaceChildren(...pairDetail(state.dataset, state.rows[y], state.columns[x]));
  }

  function move(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && cursor) choose(cursor.x, cursor.y);
    if (!step) return;
    event.preventDefault();
    const { x, y } = cursor ?? { x: 0, y: 0 };
    const within = (value, count) => Math.max(0, Math.min(count - 1, value));
    cursor = { x: within(x + step[0], state.columns.length), y: within(y + step[1], state.rows.length) };
    Plotly.relayout(box, { shapes: shapes() });
    const cell = box.querySelector(".nsewdrag").getBoundingClientRect();
    const { xaxis, yaxis } = box._fullLayout;
    showTip(cursor.x, cursor.y, { clientX: cell.left + xaxis.d2p(cursor.x), clientY: cell.top + yaxis.d2p(cursor.y) });
  }

  // A pair named elsewhere on the page.
  function open(which, metricNumber, i, j) {
    form.elements.dataset.value = which;
    form.elements.dataset.dispatchEvent(new Event("change"));
    form.elements.metric.value = metricNumber;
    form.elements.only.checked = false;
    window.location.hash = "matrix";
    cursor = null;
    draw();
    choose(state.columns.indexOf(j), state.rows.indexOf(i));
  }

  function start() {
    if (!payload) return;
    fillSelectors(form, () => { cursor = null; draw(); });
    for (const name of ["values", "order", "only"]) {
      form.elements[name].addEventListener("change", () => { cursor = null; draw(); });
    }
    form.elements.search.addEventListener("input", () => { cursor = null; draw(); });
    tabs.listen("matrix", () => { if (!state) draw(); });
    theme.listen(() => { if (state) draw(); });
  }

  return { start, draw, open, shown: () => state };
})();
