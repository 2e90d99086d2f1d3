// The table: all rows that pass the filters, a page at a time, in the order of a column.
const PAGE = 50;
const LONGEST_CELL = 160;

function tableColumns() {
  const which = columns.map((one, c) => c).filter((c) => c !== head.id && columns[c].role !== "derived");
  return [...which.filter((c) => columns[c].role === "score"), ...head.preview, ...which.filter((c) => columns[c].role === "field" && !head.preview.includes(c))];
}

// The rows in the table's order; those without a value last.
let ordered = { key: null, rows: null };
async function tableRows() {
  const { column: c, down } = state.sort, key = `${c} ${down} ${document.documentElement.dataset.filtered} ${state.selected}`;
  if (ordered.key === key && ordered.mask === state.mask) return ordered.rows;
  let rows;
  if (c < 0) rows = selectedRows();
  else {
    const [v, order] = await Promise.all([values(c), orderOf(c)]);
    const ranked = down ? downwards(order, v) : order, has = new Uint8Array(n);
    rows = new Uint32Array(state.selected);
    let filled = 0;
    for (const row of ranked) { has[row] = 1; if (passes(row)) rows[filled++] = row; }
    for (let i = 0; i < n; i++) if (!has[i] && passes(i)) rows[filled++] = i;
  }
  ordered = { key, rows, mask: state.mask };
  return rows;
}

let tabled = 0;
async function drawTable() {
  if (state.tab !== "rows") return;
  const turn = ++tabled, rows = await tableRows(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  state.page = Math.max(0, Math.min(pages - 1, state.page));
  const which = tableColumns(), from = state.page * PAGE, shownRows = Array.from(rows.subarray(from, from + PAGE));
  const lines = await Promise.all(shownRows.map(async (row) => {
    const cells = await Promise.all(which.map((c) => cell(c, row)));
    return make("tr", { tabIndex: 0, data: { row }, ariaSelected: String(row === state.current) },
      make("th", { scope: "row", textContent: String(await idOf(row)) }),
      ...cells.map((value, j) => {
        const number = columns[which[j]].kind === "number";
        const text = value === null || value === undefined ? "" : number ? shown(value) : asText(value);
        return make("td", { className: number ? "number" : "words", dir: "auto",
          textContent: text.length > LONGEST_CELL ? `${text.slice(0, LONGEST_CELL)}…` : text });
      }));
  }));
  if (turn !== tabled) return;
  const heads = which.map((c) => {
    const sorts = columns[c].kind !== "text", own = state.sort.column === c;
    const name = make(sorts ? "button" : "span", { textContent: columns[c].name });
    if (sorts) Object.assign(name, { type: "button", title: "Sort", onclick: () => sortBy(c, own ? !state.sort.down : columns[c].role === "score") });
    return make("th", { scope: "col", className: columns[c].kind === "number" ? "number" : "", ariaSort: own ? (state.sort.down ? "descending" : "ascending") : "none" }, name, own ? (state.sort.down ? " ↓" : " ↑") : null);
  });
  const first = make("th", { scope: "col" }, make("button", { type: "button", textContent: head.id_name, title: "In the order of the data", onclick: () => sortBy(-1, false) }));
  $("pane").replaceChildren(make("table", { id: "rows" }, make("thead", {}, make("tr", {}, first, ...heads)), make("tbody", {}, ...lines)));
  $("pages").hidden = false;
  $("page").value = String(state.page + 1);
  $("page").max = String(pages);
  $("of-pages").textContent = `of ${pages.toLocaleString("en")}`;
  $("first").disabled = $("previous").disabled = state.page === 0;
  $("last").disabled = $("next").disabled = state.page === pages - 1;
  $("pane").dataset.drawn = String(turn);
}

function sortBy(column, down) {
  state.sort = { column, down };
  state.page = 0;
  return changed("table");
}

function startTable() {
  const go = (page) => { state.page = page; $("pane").scrollTop = 0; changed("table"); };
  $("first").addEventListener("click", () => go(0));
  $("previous").addEventListener("click", () => go(state.page - 1));
  $("next").addEventListener("click", () => go(state.page + 1));
  $("last").addEventListener("click", () => go(Math.ceil(state.selected / PAGE) - 1));
  $("page").addEventListener("change", () => go(Math.max(1, Math.floor(Number($("page").value) || 1)) - 1));
  $("pane").addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (line && !event.target.closest("button")) show(Number(line.dataset.row));
  });
  $("pane").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.dataset.row !== undefined && event.target.tagName === "TR") show(Number(event.target.dataset.row));
  });
}

function markCurrent() {
  for (const line of document.querySelectorAll("#pane [data-row]")) line.setAttribute("aria-selected", String(Number(line.dataset.row) === state.current));
}
