// Charts: plotly figures in the colors of the page, drawn when they come into sight.

const charts = (() => {
  const specs = JSON.parse(document.getElementById("data-charts").textContent);
  const drawn = new Set();
  const config = {
    displaylogo: false,
    displayModeBar: "hover",
    responsive: true,
    plotlyServerURL: "", // nothing leaves the page
    modeBarButtonsToRemove: ["sendChartToCloud", "sendDataToCloud", "select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };
  // Okabe & Ito's colors without the yellow, which pales on white paper.
  const colorway = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b5ea7", "#8c8c8c"];

  // plotly.js is a long text until the first chart is drawn: words and tables need not wait for it.
  function prepare() {
    if (window.Plotly) return;
    const source = document.getElementById("plotly");
    document.head.append(element("script", {}, source.textContent));
    source.remove();
  }

  // What every chart has in common; what a chart states itself wins.
  function template() {
    const ink = theme.color("ink"), grid = theme.color("grid"), soft = theme.color("soft");
    const axis = {
      automargin: true, gridcolor: grid, zerolinecolor: grid, linecolor: soft, tickcolor: soft,
      title: { standoff: 10 },
    };
    return {
      layout: {
        font: { family: "system-ui, sans-serif", size: 12, color: ink },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        colorway, xaxis: axis, yaxis: axis,
        margin: { l: 60, r: 20, t: 30, b: 50 },
        hoverlabel: { bgcolor: theme.color("paper"), bordercolor: soft, font: { color: ink, size: 12 }, align: "left" },
        legend: { bgcolor: "rgba(0,0,0,0)" },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
        polar: { bgcolor: "rgba(0,0,0,0)" },
      },
    };
  }

  function draw(box) {
    prepare();
    const spec = specs[box.dataset.chart];
    const layout = { ...spec.layout, template: template() };
    if (spec.layout?.height) box.style.minHeight = `${spec.layout.height}px`;
    const filename = box.dataset.chart;
    const own = { ...config, toImageButtonOptions: { format: "svg", filename } };
    drawn.add(box);
    return Plotly.react(box, themed(spec.data), layout, own);
  }

  // Scales named "page" are those of the matrix, one for each theme.
  function themed(data) {
    return data.map((trace) => {
      if (trace.meta?.scale !== "page") return { ...trace };
      return { ...trace, colorscale: pageScale(trace.zmin, trace.zmax, trace.meta.reversed) };
    });
  }

  const colors = JSON.parse(document.getElementById("data-colors").textContent);

  // Zero is near the paper; the arm with the larger reach ends in the strongest color, the other
  // one is cut where its values end: equal magnitudes are equally strong whatever their sign.
  function pageScale(low, high, reversed = false, steps = 24) {
    const arms = colors[theme.name()];
    const reach = Math.max(-low, high);
    const at = (arm, share) => arm[Math.min(arm.length - 1, Math.round(share * (arm.length - 1)))];
    return Array.from({ length: steps + 1 }, (_, i) => {
      const value = low + ((high - low) * i) / steps;
      if (reversed) return [i / steps, at(arms.positive, 1 - i / steps)];
      return [i / steps, at(value >= 0 ? arms.positive : arms.negative, Math.abs(value) / reach)];
    });
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      if (!drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "300px" });

  const boxes = () => document.querySelectorAll(".plot[data-chart]");

  function start() {
    for (const box of boxes()) {
      const height = specs[box.dataset.chart].layout?.height ?? 420;
      box.style.minHeight = `${height}px`;
      watcher.observe(box);
    }
    theme.listen(() => drawn.forEach(draw));
  }

  function drawAll() {
    for (const box of boxes()) draw(box);
  }

  // Plots that were drawn while hidden, or before the window changed.
  function fit(root) {
    for (const box of root.querySelectorAll(".js-plotly-plot")) Plotly.Plots.resize(box);
  }

  return { start, prepare, drawAll, fit, template, config, pageScale };
})();
