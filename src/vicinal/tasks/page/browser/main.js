// The start: what is shown first, the keys, and the view in the address.
const markButtons = (row) => (window.vicinalMarks ? window.vicinalMarks(row) : []);

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  $("theme").textContent = dark ? "Light" : "Dark";
  return changed("colour");
}

// The view in the address: what a reader would need to see the same.
let remembering = 0, restored = false;
function remember() {
  clearTimeout(remembering);
  if (restored) remembering = setTimeout(writeAddress, 250);
}

function writeAddress() {
  const filters = [...state.filters].filter(([, one]) => one.kind !== "rows" || one.rows.length <= 500)
    .map(([name, { mask, ...one }]) => [name, { ...one, column: one.column >= 0 ? columns[one.column].name : undefined, low: one.low === -Infinity ? undefined : one.low, high: one.high === Infinity ? undefined : one.high }]);
  const { column: c, byRank } = state.colour, sort = state.sort;
  const view = { colour: c < 0 ? "" : columns[c].name, byRank: byRank ?? undefined, filters: filters.length ? filters : undefined, tab: state.tab === "rows" ? undefined : state.tab,
    sort: sort.column < 0 ? undefined : [columns[sort.column].name, sort.down], page: state.page || undefined, view: state.view ?? undefined, row: state.current ?? undefined };
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(view))}`);
}

// Takes the view of the address; what does not fit this page is left out.
async function readAddress() {
  let view;
  try { view = JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  if (view === null || typeof view !== "object") return;
  const known = (name) => (typeof name === "string" ? column(name) : -1), finite = (value, other) => (Number.isFinite(value) ? value : other);
  state.filters.clear();
  Object.assign(state, { view: null, current: null, before: [], sort: { column: -1, down: false }, page: 0 });
  if (typeof view.colour === "string") state.colour = { column: known(view.colour), byRank: typeof view.byRank === "boolean" ? view.byRank : null };
  for (const [name, one] of Array.isArray(view.filters) ? view.filters : []) {
    const filter = { ...one, column: known(one?.column) };
    const kind = filter.column >= 0 ? columns[filter.column].kind : "";
    const whole = (list, below) => Array.isArray(list) && list.every((value) => Number.isInteger(value) && value >= 0 && value < below);
    const fits = { range: kind === "number", values: kind === "category" && whole(filter.codes, columns[filter.column]?.labels.length), text: typeof filter.text === "string" && (name === "find" || kind !== ""),
      area: Array.isArray(filter.points) && filter.points.length > 1 && filter.points.every((point) => Array.isArray(point) && point.every(Number.isFinite)), rows: whole(filter.rows, n),
      cut: columns[filter.column]?.role === "score" && filter.percent >= 0 && filter.percent <= 100 && ["low", "high", "both"].includes(filter.end) }[filter.kind];
    if (!fits) continue;
    if (filter.kind === "range") Object.assign(filter, { low: finite(filter.low, -Infinity), high: finite(filter.high, Infinity) });
    state.filters.set(String(name), filter);
  }
  state.tab = has(view.tab) ? view.tab : "rows";
  if (Array.isArray(view.sort) && known(view.sort[0]) >= 0 && columns[known(view.sort[0])].kind !== "text") state.sort = { column: known(view.sort[0]), down: view.sort[1] === true };
  if (view.view && [view.view.x, view.view.y, view.view.zoom].every(Number.isFinite)) state.view = { x: view.view.x, y: view.view.y, zoom: Math.max(1, Math.min(400, view.view.zoom)) };
  if (Number.isInteger(view.row) && view.row >= 0 && view.row < n) state.current = view.row;
  $("colour").value = String(state.colour.column);
  $("find").value = state.filters.get("find")?.text ?? "";
  await applyFilters();
  state.page = Number.isInteger(view.page) ? view.page : 0;
  await Promise.all([changed("colour"), changed("current"), changed("tab")]);
}

async function findId(wanted) {
  if (head.id < 0) return /^\d+$/.test(wanted) && Number(wanted) < n ? Number(wanted) : -1;
  if (columns[head.id].kind !== "text") {
    const v = await values(head.id), labels = columns[head.id].labels;
    for (let i = 0; i < n; i++) if (String(labels.length ? labels[v[i]] : v[i]) === wanted) return i;
    return -1;
  }
  for (let at = 0; at * BLOCK < n; at++) {
    const place = (await blockOf(head.id, at)).findIndex((id) => String(id) === wanted);
    if (place >= 0) return at * BLOCK + place;
  }
  return -1;
}

// To the next or the previous line of the list that is open.
function step(by) {
  const lines = [...document.querySelectorAll("#pane [data-row]")];
  if (!lines.length) return;
  const place = lines.findIndex((line) => Number(line.dataset.row) === state.current);
  const next = lines[Math.max(0, Math.min(lines.length - 1, place + by))];
  next.focus();
  if (next.tagName === "TR") show(Number(next.dataset.row));
  else next.click();
}

function startKeys() {
  const keys = () => { if ($("keys").open) $("keys").close(); else $("keys").showModal(); };
  $("help").addEventListener("click", keys);
  $("theme").addEventListener("click", () => theme(!isDark()));
  $("clear").addEventListener("click", clearAll);
  $("larger").addEventListener("click", () => { $("larger").setAttribute("aria-pressed", String(document.body.classList.toggle("large"))); redraw(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) { if (event.key === "?") keys(); return; } // Esc closes it
    if (event.key === "Escape") { document.activeElement.blur(); $("export").open = false; clearAll(); return; }
    if (["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName)) return;
    const actions = { "/": () => $("find").focus(), j: () => step(1), k: () => step(-1), b: back, d: () => theme(!isDark()), "?": keys, m: () => over.focus(),
      f: () => $("larger").click(), e: () => { $("export").open = !$("export").open; $("export").querySelector("summary").focus(); },
      n: () => $("next").click(), p: () => $("previous").click(), c: () => document.querySelector("#neighbours .compare")?.click() };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
    if (/^[1-9]$/.test(event.key)) document.querySelectorAll("#neighbours .row")[event.key - 1]?.click();
  });
}

async function start() {
  $("about").textContent = $("about").title = head.about;
  const options = columns.map((one, c) => [one, c]).filter(([one, c]) => one.kind !== "text" && c !== head.id);
  $("colour").append(make("option", { value: -1, textContent: "how many rows" }), ...["score", "field", "derived"].map((role) => make("optgroup", { label: { score: "scores", field: "fields", derived: "groups" }[role] },
    ...options.filter(([one]) => one.role === role).map(([one, c]) => make("option", { value: c, textContent: one.name })))).filter((group) => group.children.length));
  state.colour.column = head.colour;
  $("colour").value = String(head.colour);
  $("colour").addEventListener("change", () => { state.colour = { column: Number($("colour").value), byRank: null }; changed("colour"); });
  if (matchMedia("(prefers-color-scheme: dark)").matches) { document.documentElement.classList.add("dark"); $("theme").textContent = "Light"; }
  typing($("find"), async (text) => {
    say("Searching …"); // the first time all texts are unpacked
    await setFilter("find", text ? { kind: "text", column: -1, text } : null);
    say("");
  });
  $("find").addEventListener("keydown", async (event) => {
    if (event.key !== "Enter") return;
    const row = await findId($("find").value.trim());
    if (row >= 0) { setFilter("find", null); show(row); }
  });
  startKeys();
  startTabs();
  startTable();
  startExport();
  on("filters", () => { redraw(); return Promise.all([drawChips(), state.tab === "rows" ? drawTable() : drawTab()]); });
  on("filters", remember);
  on("colour", async () => { await chooseColours(); redraw(); await drawLegend(); remember(); });
  on("current", async () => { markCurrent(); drawChips(); drawOver(); remember(); await drawCard(); });
  on("view", () => { redraw(); remember(); });
  on("table", async () => { await drawTable(); remember(); });
  on("tab", async () => { await drawTab(); remember(); });
  if (head.explore) await startExplore();
  [xs, ys] = await Promise.all([array("x", "u2"), array("y", "u2")]);
  startMap();
  await chooseColours();
  draw();
  startPanel();
  await Promise.all([drawLegend(), drawChips(), drawTab(), drawCard(), startCut(), ...panels.map((one) => one())]);
  if (location.hash.length > 1) await readAddress();
  restored = true;
  window.addEventListener("hashchange", readAddress);
  document.documentElement.dataset.ready = "true";
}
window.vicinal = { state, columns, head, show, setFilter, selectedRows, values, column, toScreen, nearestRow, command, frame, readAddress };
start();
