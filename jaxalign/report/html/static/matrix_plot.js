// The matrix as a plotly figure: cells, the strips that name the groups, and names of models as long
// as there is room for them.

const STRIP = 0.016;
const ROOM = 9;        // pixels a name needs
const GUESSED_LABELS = 320; // pixels of the names and the scale
const VALUES_TO = 14;  // models up to which the number stands in the cell

// What a choice of controls shows: row and column models, values, range of the scale.
function matrixState(dataset, metric, { values, order, found, only }) {
  const columns = modelOrder(dataset, metric, order);
  const rows = only && found?.size ? columns.filter((i) => found.has(i)) : columns;
  const cells = rows.map((i) => columns.map((j) => {
    const value = i === j ? NaN : payload.at(dataset, metric, values, i, j);
    return Number.isFinite(value) ? value : null;
  }));
  const finite = cells.flat().filter((value) => value !== null);
  let low = 0, high = 1;
  if (values === "value") [low, high] = [metric.low, metric.high];
  else if (values === "z") {
    low = finite.reduce((a, b) => Math.min(a, b), 0);
    high = finite.reduce((a, b) => Math.max(a, b), 1);
  }
  const reversed = values === "value" && !metric.similarity;
  return { dataset, metric, values, order, found, rows, columns, cells, low, high, reversed };
}

function matrixFigure(state, box) {
  const { dataset, rows, columns } = state;
  // A guess at what the names and the scale leave; the plot is adjusted once it is drawn.
  const guess = Math.max(200, (box.clientWidth || 900) - GUESSED_LABELS) / columns.length;
  const named = { showticklabels: guess >= ROOM, tickfont: { size: nameSize(guess) } };
  const traces = [cellTrace(state), selfTrace(state), ...stripTraces(state)];
  const reach = (count) => [-0.5, count - 0.5];
  const axis = { ...named, showgrid: false, zeroline: false, ticks: "", tickangle: 0 };
  const layout = {
    template: charts.template(),
    height: clampHeight(guess * rows.length + (named.showticklabels ? 180 : 60)),
    margin: { l: 10, r: 10, t: 28, b: 10 },
    plot_bgcolor: theme.color("paper"),
    xaxis: { ...axis, domain: [2 * STRIP, 1], range: reach(columns.length), tickangle: -90, side: "bottom" },
    yaxis: { ...axis, domain: [0, 1 - 2 * STRIP], range: reach(rows.length).reverse(), anchor: "free", position: 0 },
    xaxis2: { ...axis, domain: [0, STRIP], showticklabels: false, fixedrange: true, range: [-0.5, 0.5] },
    yaxis2: { ...axis, domain: [1 - STRIP, 1], showticklabels: false, fixedrange: true, range: [-0.5, 0.5] },
    dragmode: "zoom",
    hoverdistance: 1,
  };
  Object.assign(layout.xaxis, names(dataset, columns, state.found));
  Object.assign(layout.yaxis, names(dataset, rows, state.found));
  return { traces, layout };
}

function names(dataset, order, found) {
  const name = (i) => {
    const text = markup(dataset.models[i].short);
    return found?.has(i) ? `<b>${text}</b>` : text;
  };
  return { tickmode: "array", tickvals: order.map((_, place) => place), ticktext: order.map(name) };
}

function cellTrace({ metric, values, cells, low, high, reversed, columns, rows }) {
  const title = { value: metric.axis, calibrated: "calibrated score", z: "z" }[values];
  const few = columns.length <= VALUES_TO && rows.length <= VALUES_TO;
  return {
    type: "heatmap", name: "cells", z: cells, zmin: low, zmax: high, zauto: false,
    colorscale: charts.pageScale(low, high, reversed),
    xgap: columns.length <= 60 ? 1 : 0, ygap: columns.length <= 60 ? 1 : 0,
    hoverinfo: "none", hoverongaps: true,
    ...(few ? { texttemplate: values === "z" ? "%{z:.0f}" : "%{z:.2f}", textfont: { size: 10 } } : {}),
    colorbar: {
      thickness: 12, len: 0.6, outlinewidth: 0, title: { text: wrapped(markup(title), 18), side: "top", font: { size: 11 } },
      tickfont: { size: 11 },
    },
  };
}

// Words of at most so many signs a line, for the narrow title of the scale.
function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.join("<br>");
}

// A model with itself: no value of the scale.
function selfTrace({ rows, columns }) {
  const color = theme.color("self");
  const z = rows.map((i) => columns.map((j) => (i === j ? 1 : null)));
  return { type: "heatmap", name: "self", z, showscale: false, hoverinfo: "skip", colorscale: [[0, color], [1, color]], xgap: columns.length <= 60 ? 1 : 0, ygap: columns.length <= 60 ? 1 : 0 };
}

function stripTraces({ dataset, rows, columns, order }) {
  const by = order in GROUPED ? order : "modality";
  const colors = groupColors(dataset, by);
  const labels = Object.keys(colors);
  if (labels.length < 1) return [];
  const colorscale = labels.flatMap((label, i) => [[i / labels.length, colors[label]], [(i + 1) / labels.length, colors[label]]]);
  const code = (i) => labels.indexOf(dataset.models[i][by]);
  const common = { type: "heatmap", showscale: false, hoverinfo: "skip", colorscale, zmin: -0.5, zmax: labels.length - 0.5, zauto: false };
  return [
    { ...common, name: "rows", z: rows.map((i) => [code(i)]), x: [0], xaxis: "x2", yaxis: "y" },
    { ...common, name: "columns", z: [columns.map(code)], y: [0], xaxis: "x", yaxis: "y2" },
  ];
}

const nameSize = (cell) => Math.max(8, Math.min(12, Math.floor(cell) - 1));
const clampHeight = (height) => Math.round(Math.max(260, Math.min(1400, height)));

// What must change for names to stand where there is room for them (200 models show none until one
// zooms in), and for all cells together to be square. Null if everything is as it should be.
function adjustment(state, box, { square }) {
  const { xaxis, yaxis, height } = box._fullLayout;
  const visible = (axis) => Math.abs(axis.range[1] - axis.range[0]);
  const wanted = {};
  for (const [name, axis] of Object.entries({ xaxis, yaxis })) {
    const cell = axis._length / visible(axis);
    wanted[`${name}.showticklabels`] = cell >= ROOM;
    wanted[`${name}.tickfont.size`] = nameSize(cell);
  }
  const { layout } = box;
  let same = ["xaxis", "yaxis"].every((name) =>
    wanted[`${name}.showticklabels`] === layout[name].showticklabels && wanted[`${name}.tickfont.size`] === layout[name].tickfont.size);
  if (square) {
    wanted.height = clampHeight(height + Math.max((xaxis._length / state.columns.length) * state.rows.length, 60) - yaxis._length);
    same &&= Math.abs(wanted.height - height) < 8;
  }
  return same ? null : wanted;
}
