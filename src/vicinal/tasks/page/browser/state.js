// What is looked at: the filters and the rows that pass them all, the colour, the sample, the part of the map. All other
// files read `state` and are called by `changed` when something of it changes.
const state = {
  filters: new Map(), // name -> filter; see `maskOf`
  mask: null, // Uint8Array, 1 for the rows that pass; null where there is no filter
  selected: n, // how many pass
  current: null, // the row of the sample
  before: [], // the samples looked at before it
  colour: { column: -1, byRank: null }, // null: by rank where the values have a heavy tail
  tab: "rows",
  sort: { column: -1, down: false },
  page: 0,
  view: null, // the part of the map, as x, y and zoom; null for all of it
  marks: new Map(), // of vicinal explore: row -> { mark, label }
};
const listeners = {};
const on = (what, listener) => (listeners[what] ??= []).push(listener);
const changed = (what) => Promise.all((listeners[what] ?? []).map((listener) => listener()));

// As lower case letters are compared by `ilike` of `vicinal filter`: one letter for one.
const folded = (text) => (/[Σİ]/.test(text) ? text.replace(/Σ/g, "σ").replace(/İ/g, "i") : text).toLowerCase();

// The texts of a block in lower case, one after the other, and where each begins.
const searched = new Map();
const AHEAD = 6;
async function lowered(c, at) {
  const name = `${c}.${at}`;
  if (!searched.has(name)) {
    searched.set(name, blockOf(c, at).then((cells) => {
      const starts = new Uint32Array(cells.length + 1), texts = cells.map((value) => folded(asText(value)));
      texts.forEach((text, i) => { starts[i + 1] = starts[i] + text.length + 1; });
      return { text: texts.join("\n"), starts };
    }));
  }
  return searched.get(name);
}

async function findText(c, wanted, mask, alive) {
  if (columns[c].kind === "category") {
    const hit = columns[c].labels.map((label) => label !== null && folded(String(label)).includes(wanted));
    const codes = await values(c);
    for (let i = 0; i < n; i++) if (hit[codes[i]]) mask[i] = 1;
    return;
  }
  const last = Math.ceil(n / BLOCK) - 1;
  for (let at = 0; at <= last; at++) {
    for (let ahead = at + 1; ahead <= Math.min(last, at + AHEAD); ahead++) lowered(c, ahead); // unpacked meanwhile
    const { text, starts } = await lowered(c, at);
    if (!alive()) return;
    let row = 0;
    for (let place = text.indexOf(wanted); place >= 0;) {
      let low = row, high = starts.length - 1; // the row whose text the place lies in
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (starts[middle] <= place) low = middle; else high = middle;
      }
      row = low;
      if (place + wanted.length < starts[row + 1]) mask[at * BLOCK + row] = 1; // not over the end of a text
      place = text.indexOf(wanted, place + wanted.length < starts[row + 1] ? starts[row + 1] : place + 1);
    }
  }
}

const isText = (one) => one.role === "field" && one.named !== false && (one.kind === "text" ? one.strings : one.kind === "category" && typeof one.labels.find((label) => label !== null) === "string");
const textColumns = () => columns.map((one, c) => c).filter((c) => isText(columns[c]));

async function maskOf(filter, alive) {
  const mask = new Uint8Array(n), { kind } = filter;
  if (kind === "range") {
    const v = await values(filter.column), { low, high } = filter;
    for (let i = 0; i < n; i++) mask[i] = v[i] >= low && v[i] <= high ? 1 : 0;
  } else if (kind === "values") {
    const codes = await values(filter.column), hit = new Uint8Array(columns[filter.column].labels.length);
    for (const code of filter.codes) hit[code] = 1;
    for (let i = 0; i < n; i++) mask[i] = hit[codes[i]];
  } else if (kind === "text") {
    const wanted = folded(filter.text);
    for (const c of filter.column < 0 ? textColumns() : [filter.column]) await findText(c, wanted, mask, alive);
  } else if (kind === "rows") {
    for (const row of filter.rows) mask[row] = 1;
  } else if (kind === "area") {
    markArea(filter.points, mask);
  } else if (kind === "cut") {
    const [gone, stays] = await cutRows(filter.column, filter.end, filter.percent);
    for (const row of filter.kept ? stays : gone) mask[row] = 1;
  }
  return mask;
}

async function cutRows(c, end, percent) {
  const [v, order] = await Promise.all([values(c), orderOf(c)]);
  const keep = order.length - Math.round((percent / 100) * order.length);
  const ranked = end === "low" ? downwards(order, v) : end === "high" ? order : fromMiddle(order, v);
  return [ranked.slice(keep), ranked.slice(0, keep)];
}

let filtering = 0;
async function applyFilters() {
  const turn = ++filtering, alive = () => turn === filtering;
  for (const filter of state.filters.values()) {
    if (!filter.mask) {
      const mask = await maskOf(filter, alive);
      if (!alive()) return;
      filter.mask = mask;
    }
  }
  let mask = null;
  for (const filter of state.filters.values()) {
    if (mask === null) mask = filter.mask.slice();
    else for (let i = 0; i < n; i++) mask[i] &= filter.mask[i];
  }
  state.mask = mask;
  state.selected = mask === null ? n : mask.reduce((sum, one) => sum + one, 0);
  state.page = 0;
  await changed("filters");
  document.documentElement.dataset.filtered = String(turn);
}

// Sets a filter, or removes it where there is none.
function setFilter(name, filter) {
  if (filter === null) state.filters.delete(name);
  else state.filters.set(name, filter);
  return applyFilters();
}
const passes = (row) => state.mask === null || state.mask[row] === 1;

function selectedRows() {
  const rows = new Uint32Array(state.selected);
  for (let i = 0, filled = 0; i < n; i++) if (passes(i)) rows[filled++] = i;
  return rows;
}

function clearAll() {
  state.filters.clear();
  state.current = null;
  state.before = [];
  for (const input of document.querySelectorAll("input[type=search]")) input.value = "";
  changed("current");
  return applyFilters();
}
