// Light or dark: what the system prefers, until the reader presses the button.

const theme = (() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let chosen = remembered();

  function remembered() {
    try { return window.localStorage.getItem("jaxalign-theme"); } catch { return null; }
  }

  function current() {
    return chosen ?? (system.matches ? "dark" : "light");
  }

  function apply(name = current()) {
    root.dataset.theme = name;
    for (const listener of listeners) listener(name);
  }

  // Files opened from disk may have no storage: the choice then lasts as long as the page.
  function toggle() {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try { window.localStorage.setItem("jaxalign-theme", chosen); } catch { /* see above */ }
    apply();
  }

  // A color of the style sheet as it is now.
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  system.addEventListener("change", () => apply());
  document.getElementById("theme").addEventListener("click", toggle);
  root.dataset.theme = current();
  return { apply, color, name: () => root.dataset.theme, listen: (f) => listeners.push(f) };
})();
