// The sample: every score and field of a row, whole, and its nearest rows.
const texts = (value) => (value === null || value === undefined ? null : asText(value));

async function show(row, remember = true) {
  if (row === null || row < 0 || row >= n) return;
  if (remember && state.current !== null && state.current !== row) state.before.push(state.current);
  state.current = row;
  await changed("current");
}

async function drawCard() {
  const row = state.current, box = $("sample");
  if (row === null) {
    near = [];
    box.replaceChildren(make("p", { className: "hint", textContent: "Click the map, or a row of the table, to see a sample whole, with its nearest rows." }), ...suggestions());
    drawOver();
    return;
  }
  const facts = make("dl"), fields = [];
  const cells = await Promise.all(columns.map((one, c) => cell(c, row)));
  for (const [c, one] of columns.entries()) {
    if (c === head.id) continue;
    if (one.kind !== "text") {
      const value = cells[c], isNumber = one.kind === "number";
      let rank = "";
      if (one.role === "score" && value !== null) rank = `, higher than ${((100 * await below(c, value)) / n).toFixed(1)}\u00a0% of rows`;
      facts.append(make("dt", { textContent: one.name }),
        make("dd", { textContent: (value === null ? "none" : isNumber ? shown(value) : labelName(value)) + rank, title: one.unit || "" }));
    } else fields.push(make("h4", { textContent: one.name }), make("div", { className: `text${typeof cells[c] === "object" && cells[c] !== null ? " json" : ""}`, dir: "auto", textContent: texts(cells[c]) ?? "(none)" }));
  }
  if (head.left_out.length) facts.append(make("dt", { textContent: head.left_out.join(", ") }), make("dd", { textContent: "embeddings, not in this page" }));
  const neighbours = await neighboursOf(row), id = await idOf(row);
  const items = await Promise.all(neighbours.map(async ([other, far], j) => make("li", {},
    make("button", { type: "button", className: "row", data: { row: other }, onclick: () => show(other) },
      make("b", { textContent: shown(far) }), make("span", {}, make("i", { textContent: String(await idOf(other)) }), " ", make("bdi", { textContent: await preview(other) }))),
    make("button", { type: "button", className: "compare", title: "Show both side by side", ariaLabel: `Compare with neighbour ${j + 1}`, textContent: "⇄", onclick: () => compareRows(row, other) }))));
  if (state.current !== row) return;
  const buttons = make("div", { className: "buttons" },
    make("button", { type: "button", id: "back", textContent: "Back", disabled: !state.before.length, onclick: back }),
    ...markButtons(row));
  box.replaceChildren(make("h3", { textContent: `Sample ${id}` }), buttons, facts, ...fields,
    make("h4", { textContent: head.k_shown ? `Its ${count(neighbours.length, "nearest row").replace("rows", "rows")}` : "" }),
    make("p", { className: "hint", textContent: head.k_shown ? `${head.metric} distance: ${head.unit}${head.recall}` : "" }),
    make("ol", { id: "neighbours" }, ...items));
  box.scrollTop = 0;
  near = neighbours.map(([other]) => other);
  drawOver();
  box.dataset.row = String(row);
}

// Where to begin: the ends of the first score, and what was found.
function suggestions() {
  const c = columns.findIndex((one) => one.role === "score"), { duplicates } = head.found, go = (textContent, onclick) => make("li", {}, make("button", { type: "button", textContent, onclick }));
  const crowded = c >= 0 && columns[c].high === "crowded", items = [];
  if (c >= 0) {
    const ends = crowded || ["unique", "outlying"].includes(columns[c].high) ? ["Most unique rows first", "Most redundant rows first"] : ["Highest first", "Lowest first"];
    const to = (down) => async () => { openTab("rows"); await sortBy(c, down); };
    items.push(go(ends[0], to(!crowded)), go(ends[1], to(crowded)));
  }
  if (duplicates) items.push(go(`Largest of ${count(duplicates.groups, "group")} of duplicates`, () => openTab("duplicates")));
  if (has("errors")) items.push(go(`${head.found.errors.length.toLocaleString("en")} likely label errors`, () => openTab("errors")));
  if (has("outliers")) items.push(go("Outliers", () => openTab("outliers")));
  return items.length ? [make("h4", { textContent: "Begin with" }), make("ol", { className: "begin" }, ...items)] : [];
}

async function below(c, value) {
  const [v, order] = await Promise.all([values(c), orderOf(c)]);
  let low = 0, high = order.length;
  while (low < high) { const middle = (low + high) >> 1; if (v[order[middle]] < value) low = middle + 1; else high = middle; }
  return low;
}

function back() {
  if (state.before.length) show(state.before.pop(), false);
}

// The words of two texts, those that only one has marked: the longest common subsequence, of parts of at most 1500 words.
function differences(one, other) {
  const words = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const a = words(one), b = words(other);
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const x = a.slice(start, a.length - end), y = b.slice(start, b.length - end);
  const left = [], right = [];
  const put = (out, text, differs) => { if (text) { if (out.length && out[out.length - 1][1] === differs) out[out.length - 1][0] += text; else out.push([text, differs]); } };
  put(left, a.slice(0, start).join(""), false);
  put(right, b.slice(0, start).join(""), false);
  if (x.length * y.length <= 1500 * 1500) {
    const wide = y.length + 1, table = new Uint16Array((x.length + 1) * wide);
    for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--) {
      table[i * wide + j] = x[i] === y[j] ? table[(i + 1) * wide + j + 1] + 1 : Math.max(table[(i + 1) * wide + j], table[i * wide + j + 1]);
    }
    let i = 0, j = 0;
    while (i < x.length || j < y.length) {
      if (i < x.length && j < y.length && x[i] === y[j]) { put(left, x[i++], false); put(right, y[j++], false); }
      else if (j >= y.length || (i < x.length && table[(i + 1) * wide + j] >= table[i * wide + j + 1])) put(left, x[i++], true);
      else put(right, y[j++], true);
    }
  } else {
    put(left, x.join(""), true);
    put(right, y.join(""), true);
  }
  put(left, a.slice(a.length - end).join(""), false);
  put(right, b.slice(b.length - end).join(""), false);
  return [left, right];
}

// Two rows side by side: each field, with what differs marked.
async function sideBySide(one, other, said = "") {
  const table = make("div", { className: "sides" });
  const name = async (row) => make("h4", {}, make("button", { type: "button", className: "link", textContent: String(await idOf(row)), onclick: () => show(row) }));
  table.append(await name(one), await name(other));
  let same = 0;
  for (const c of [...head.preview, ...ofData().filter((one) => one !== head.id && !head.preview.includes(one))]) {
    const field = columns[c], [a, b] = await Promise.all([cell(c, one), cell(c, other)]);
    const [left, right] = field.kind === "number" ? [shown(a ?? NaN), shown(b ?? NaN)] : [asText(a), asText(b)];
    if (left === right && field.kind !== "text") { same++; continue; }
    const parts = field.kind === "text" ? differences(left, right) : [[[left, true]], [[right, true]]];
    table.append(make("h5", { textContent: `${field.name}${left === right ? ": the same" : ""}` }), ...parts.map((side, place) => make("div", { className: "text", dir: "auto" },
      ...side.map(([text, differs]) => make(differs ? (place ? "ins" : "del") : "span", { textContent: text })))));
  }
  if (same) table.append(make("h5", { textContent: `${count(same, "other field")} the same` }));
  return said ? make("div", {}, make("p", { className: "hint", textContent: said }), table) : table;
}

async function compareRows(one, other) {
  const box = $("compare");
  $("compared").replaceChildren(await sideBySide(one, other));
  if (!box.open) box.showModal();
}
