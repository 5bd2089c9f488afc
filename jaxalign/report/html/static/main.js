// Starts the page, and gets it ready for paper.

startTables();
charts.start();
matrix.start();
pairs.start();
theme.apply();
tabs.start();

// Paper is white, and shows every view.
window.addEventListener("beforeprint", () => {
  const before = theme.name();
  document.documentElement.classList.add("printing"); // the width of paper, for the charts
  theme.apply("light");
  charts.drawAll();
  if (payload) { matrix.draw(); pairs.build(); }
  for (const table of DataTable.all) table.onPaper();
  charts.fit(document);
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    theme.apply(before);
    charts.fit(document);
  }, { once: true });
});

document.documentElement.dataset.ready = String(Math.round(performance.now()));
