// Tables: sorted by a click on a heading, filtered by words, downloaded as CSV. A row is
// {texts, keys, make}: what it shows, what it sorts by (undefined sorts last), and its element,
// made when it is first shown. Long tables show some rows at a time.

const PAGE_ROWS = 200;
const PAPER_ROWS = 40;
const TOOLS_FROM = 8;

class DataTable {
  static all = [];

  // columns: [{title, number}]; body: the tbody that shows the rows.
  constructor(name, columns, rows, heads, body, tools) {
    Object.assign(this, { name, columns, rows, heads, body, tools });
    this.sorted = { column: -1, up: true };
    this.words = "";
    this.limit = PAGE_ROWS;
    this.heads.forEach((head, column) => {
      const button = element("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => this.sort(column));
      head.replaceChildren(button);
    });
    this.addTools();
    this.show();
    DataTable.all.push(this);
  }

  // Paper has no room for long tables: their first rows stand for them.
  onPaper() {
    if (!this.body.isConnected || this.body.rows.length <= 3 * PAPER_ROWS) return;
    const before = this.limit;
    this.limit = PAPER_ROWS;
    this.show();
    this.body.append(element("tr", {}, element("td", { colspan: this.columns.length }, `${integer(this.rows.length)} rows in all`)));
    window.addEventListener("afterprint", () => { this.limit = before; this.show(); }, { once: true });
  }

  addTools() {
    this.count = element("span", { class: "count", "aria-live": "polite" });
    const filter = element("input", { type: "search", placeholder: "filter rows", "aria-label": "Filter rows" });
    filter.addEventListener("input", () => { this.words = filter.value; this.limit = PAGE_ROWS; this.show(); });
    const save = element("button", { type: "button", class: "save" }, "CSV");
    save.title = "Download the rows shown, in this order";
    save.addEventListener("click", () => download(this.name, this.csv()));
    this.more = element("button", { type: "button" }, "Show all rows");
    this.more.addEventListener("click", () => { this.limit = Infinity; this.show(); });
    filter.hidden = this.rows.length < TOOLS_FROM;
    this.tools.classList.toggle("few", filter.hidden);
    this.tools.append(filter, this.count, this.more, save);
  }

  sort(column) {
    const up = this.sorted.column === column ? !this.sorted.up : !this.columns[column].number;
    this.sorted = { column, up };
    this.heads.forEach((head) => head.removeAttribute("aria-sort"));
    this.heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    this.show();
  }

  selected() {
    const words = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length
      ? this.rows.filter((row) => {
          const all = row.texts.join(" ").toLowerCase();
          return words.every((word) => all.includes(word));
        })
      : [...this.rows];
    const { column, up } = this.sorted;
    if (column < 0) return found;
    const number = this.columns[column].number;
    return found.sort((a, b) => {
      const x = a.keys[column], y = b.keys[column];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      const order = number ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return up ? order : -order;
    });
  }

  show() {
    const found = this.selected();
    const shown = found.slice(0, this.limit);
    this.body.replaceChildren(...shown.map((row) => (row.element ??= row.make())));
    // Long tables scroll under their headings.
    this.body.closest(".scroll").classList.toggle("tall", shown.length > 30);
    const part = shown.length < found.length ? `first ${integer(shown.length)} of ` : "";
    const all = found.length < this.rows.length ? ` of ${integer(this.rows.length)}` : "";
    this.count.textContent = this.rows.length < TOOLS_FROM ? "" : `${part}${integer(found.length)}${all} rows`;
    this.more.hidden = shown.length === found.length;
  }

  csv() {
    const cells = (row) => this.columns.map((column, i) => (column.number ? row.keys[i] : row.texts[i]));
    return [this.columns.map((column) => column.title), ...this.selected().map(cells)];
  }
}

function cellElement([text, , marks], column) {
  const size = text.length > 60 ? "long" : text.length > 26 ? "medium" : "short";
  const classes = [marks.includes("n") ? "number" : size, marks.includes("f") && "flagged"].filter(Boolean);
  const attributes = { class: classes.join(" ") };
  return column === 0 ? element("th", { ...attributes, scope: "row" }, text) : element("td", attributes, text);
}

function rowOfElement(made) {
  const cells = [...made.cells];
  const key = (cell) => {
    const stated = cell.dataset.sort;
    return stated !== undefined && cell.classList.contains("number") ? Number(stated) : stated;
  };
  return { texts: cells.map((cell) => cell.textContent), keys: cells.map(key), element: made };
}

function rowOfCells(cells) {
  return {
    texts: cells.map((cell) => cell[0]),
    keys: cells.map((cell) => cell[1] ?? undefined),
    make: () => element("tr", {}, ...cells.map(cellElement)),
  };
}

// All tables that the page came with.
function startTables() {
  const long = JSON.parse(document.getElementById("data-rows").textContent);
  for (const box of document.querySelectorAll("div.table[data-table]")) {
    const table = box.querySelector("table");
    const name = box.dataset.table;
    const heads = [...table.tHead.rows[0].cells];
    const rows = long[name] ? long[name].map(rowOfCells) : [...table.tBodies[0].rows].map(rowOfElement);
    const columns = heads.map((head, i) => ({
      title: head.textContent,
      number: long[name] ? long[name][0][i][2].includes("n") : head.classList.contains("number"),
    }));
    const tools = element("div", { class: "tools" });
    box.prepend(tools);
    new DataTable(name, columns, rows, heads, table.tBodies[0], tools);
  }
}
