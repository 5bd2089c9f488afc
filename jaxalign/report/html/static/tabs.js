// One view at a time, named by the anchor of the address: views can be linked and bookmarked.

const tabs = (() => {
  const views = [...document.querySelectorAll("section.view")];
  const links = [...document.querySelectorAll("nav a[data-view]")];
  const listeners = {};

  function show(name) {
    // An anchor may name a part of a view, such as a chart.
    const target = name ? document.getElementById(name) : null;
    const view = target?.closest("section.view") ?? views[0];
    for (const other of views) other.classList.toggle("current", other === view);
    for (const link of links) {
      if (link.dataset.view === view.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    listeners[view.id]?.();
    charts.fit(view);
    if (target && target !== view) target.scrollIntoView();
    else window.scrollTo(0, 0);
  }

  const named = () => decodeURIComponent(window.location.hash.slice(1));

  function start() {
    document.documentElement.classList.add("scripted");
    window.addEventListener("hashchange", () => { if (named() !== "content") show(named()); });
    show(named());
  }

  return { start, show, listen: (name, action) => { listeners[name] = action; } };
})();
