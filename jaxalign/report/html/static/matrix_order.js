// In which order the models stand, and which of them are shown.

const GROUPED = { modality: "modality", family: "family", corpus: "training data" };

// Row numbers of all models: by cluster, by name, or by groups, which are in cluster order inside.
function modelOrder(dataset, metric, by) {
  if (by === "cluster") return metric.order;
  const names = dataset.models.map((model) => model.id);
  if (by === "name") {
    return names.map((_, i) => i).sort((a, b) => names[a].localeCompare(names[b], "en", { numeric: true }));
  }
  const rank = new Map(metric.order.map((model, place) => [model, place]));
  const label = (i) => dataset.models[i][by];
  // What states no label stands last.
  const compare = (a, b) =>
    (label(a) === "") - (label(b) === "") || label(a).localeCompare(label(b), "en") || rank.get(a) - rank.get(b);
  return [...metric.order].sort(compare);
}

// Models whose name, family, modality or training data contain every word.
function foundModels(dataset, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return null;
  const found = new Set();
  dataset.models.forEach((model, i) => {
    const text = [model.id, model.card.Name ?? "", model.family, model.modality, model.corpus].join(" ").toLowerCase();
    if (wanted.every((word) => text.includes(word))) found.add(i);
  });
  return found;
}

// Places where a new group begins, with the group's name.
function groupStarts(dataset, order, by) {
  if (!(by in GROUPED)) return [];
  const starts = [];
  order.forEach((model, place) => {
    const label = dataset.models[model][by];
    if (!starts.length || starts.at(-1).label !== label) starts.push({ place, label });
  });
  return starts;
}

// Colors of groups: those of the modalities are fixed, others in turn.
function groupColors(dataset, by) {
  if (!(by in GROUPED) || by === "modality") return dataset.modalityColors;
  const wheel = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7b5ea7", "#b8a800", "#6b4226", "#4c9f9f"];
  const labels = [...new Set(dataset.models.map((model) => model[by]))].filter(Boolean).sort();
  const colors = Object.fromEntries(labels.map((label, i) => [label, wheel[i % wheel.length]]));
  return { ...colors, "": "#c9c9c9" };
}
