// What was found in the data: groups of duplicates, likely label errors, boundary pairs, outliers, and the figures.
const TABS = [["rows", "Rows"], ["duplicates", "Duplicates"], ["radius", "Radius"], ["errors", "Label errors"], ["pairs", "Boundary pairs"], ["outliers", "Outliers"], ["figures", "Figures"]];
const MATCHES = ["stays", "copy", "same vector, other text", "near"];
const SHOWN_ITEMS = 200;
const chosen = {}; // what is open in each tab

const has = (name) => name === "rows" || (name === "radius" ? head.nearest >= 0 : Boolean(head.found[name]));

function startTabs() {
  const counts = { duplicates: head.found.duplicates?.groups, errors: head.found.errors?.length, pairs: head.found.pairs?.length };
  for (const [name, title] of TABS) {
    if (!has(name)) continue;
    const number = counts[name] === undefined ? "" : ` ${counts[name].toLocaleString("en")}`;
    $("tabs").append(make("button", { type: "button", role: "tab", id: `tab-${name}`, textContent: title + number, data: { tab: name }, ariaSelected: "false",
      onclick: () => openTab(name) }));
  }
  $("tabs").setAttribute("aria-owns", TABS.filter(([name]) => has(name)).map(([name]) => `tab-${name}`).join(" "));
  $("tabs").addEventListener("keydown", (event) => {
    const all = [...$("tabs").children], place = all.indexOf(document.activeElement), move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move && place >= 0) { event.preventDefault(); const next = all[(place + move + all.length) % all.length]; next.focus(); next.click(); }
  });
}

function openTab(name) {
  state.tab = has(name) ? name : "rows";
  return changed("tab");
}

async function drawTab() {
  for (const tab of $("tabs").children) {
    const own = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", String(own));
    tab.tabIndex = own ? 0 : -1;
  }
  $("pane").setAttribute("aria-labelledby", `tab-${state.tab}`);
  $("pages").hidden = state.tab !== "rows";
  $("pane").scrollTop = 0;
  if (state.tab === "rows") return drawTable();
  return { duplicates: drawDuplicates, radius: drawRadius, errors: drawErrors, pairs: drawPairs, outliers: drawOutliers, figures: drawFigures, search: head.explore ? drawSearch : drawTable }[state.tab]();
}

// A list at the left and what is open of it at the right.
function twoParts(said, items, side, more = null) {
  $("pane").replaceChildren(make("div", { className: "parts" },
    make("div", { className: "list" }, make("p", { className: "hint", textContent: said }), more, make("ol", {}, ...items)), make("div", { className: "side", tabIndex: 0 }, side)));
  $("pane").dataset.list = state.tab;
}
const nothing = () => make("p", { className: "hint", textContent: "Choose one at the left." });

async function drawDuplicates() {
  const found = head.found.duplicates;
  const [rows, sizes, far, match] = await Promise.all([array("dup.rows", "u4"), array("dup.size", "u4"), array("dup.far", "f4"), array("dup.match", "u1")]);
  const starts = new Uint32Array(sizes.length + 1);
  sizes.forEach((size, i) => { starts[i + 1] = starts[i] + size; });
  const shownGroups = [];
  for (let group = 0; group < sizes.length && shownGroups.length < SHOWN_ITEMS; group++) {
    let any = state.mask === null;
    for (let j = starts[group]; !any && j < starts[group + 1]; j++) any = passes(rows[j]);
    if (any) shownGroups.push(group);
  }
  const own = chosen.duplicates ?? null;
  const items = await Promise.all(shownGroups.map(async (group) => make("li", {}, make("button", { type: "button", className: "row", ariaCurrent: String(own?.group === group),
    onclick: () => { chosen.duplicates = { group, member: 1 }; drawDuplicates(); } },
  make("b", { textContent: sizes[group].toLocaleString("en") }), make("bdi", { textContent: await preview(rows[starts[group]], 110) })))));
  let side = nothing();
  if (own) {
    const first = rows[starts[own.group]], size = sizes[own.group], j = starts[own.group] + own.member, other = rows[j];
    const step = (by) => { chosen.duplicates = { ...own, member: 1 + ((own.member - 1 + by + size - 1) % (size - 1)) }; return drawDuplicates(); };
    side = make("div", {}, make("div", { className: "buttons" },
      make("button", { type: "button", id: "member-before", textContent: "‹", ariaLabel: "previous row of the group", onclick: () => step(-1) }),
      make("span", { id: "member", textContent: `row ${own.member + 1} of ${size.toLocaleString("en")}: ${MATCHES[match[j]]}, distance ${shown(far[j])}` }),
      make("button", { type: "button", id: "member-next", textContent: "›", ariaLabel: "next row of the group", onclick: () => step(1) }),
      make("button", { type: "button", textContent: "Select the group", onclick: () => setFilter("rows", { kind: "rows", rows: Array.from(rows.subarray(starts[own.group], starts[own.group + 1])), said: `a group of ${count(size, "duplicate")}` }) })),
    await sideBySide(first, other));
  }
  const kinds = [[found.copies, "with the same vector and the same text"], [found.same_vector, "with the same vector, but another text"], [found.near, "near"]]
    .filter(([times]) => times).map(([times, what]) => `${count(times, "row")} ${what}`).join(", ");
  const what = found.radius ? `within ${found.radius} (${head.metric} distance: ${head.unit}) of the row that stays` : "with the same vector";
  const said = `${count(found.groups, "group")} of rows ${what}${kinds ? `: beside the rows that stay, ${kinds}` : ""}.${found.recall ? ` Pairs may be missing: ${found.recall}.` : ""}${shownGroups.length < found.groups ? ` The ${shownGroups.length} largest${state.mask ? " with a selected row" : ""} are listed.` : ""}`;
  // A copy may stand in a group whose row that stays has another text: all rows that repeat an earlier one could go.
  const copies = found.repeated ? make("div", { className: "buttons" },
    make("button", { type: "button", id: "select-copies", textContent: `Select ${count(found.repeated, "true copy").replace("copys", "copies")}`, title: "Rows whose vector and text an earlier row has", onclick: () => selectCopies(true) }),
    make("button", { type: "button", id: "drop-copies", textContent: "Select all rows but these", title: "Export then gives the data without them", onclick: () => selectCopies(false) })) : null;
  twoParts(said, items, side, copies);
}

async function selectCopies(wanted) {
  const copies = await array("dup.copies", "u4"), is = new Uint8Array(n), rows = [];
  for (const row of copies) is[row] = 1;
  for (let row = 0; row < n; row++) if (Boolean(is[row]) === wanted) rows.push(row);
  return setFilter("rows", { kind: "rows", rows, said: wanted ? "true copies, which could go" : "all rows but true copies" });
}

async function records(name, said, line, open) {
  const all = head.found[name].filter((one) => passes(one.row)), own = chosen[name] ?? null;
  const items = await Promise.all(all.slice(0, SHOWN_ITEMS).map(async (one) => make("li", {}, make("button", { type: "button", className: "row wide", data: { row: one.row }, ariaCurrent: String(own === one),
    onclick: () => { chosen[name] = one; show(one.row); drawTab(); } }, make("b", { textContent: line(one) }), make("bdi", { textContent: await preview(one.row, 110) })))));
  const select = make("button", { type: "button", textContent: "Select these rows", onclick: () => setFilter("rows", { kind: "rows", rows: [...new Set(all.flatMap((one) => (one.other === undefined ? [one.row] : [one.row, one.other])))], said }) });
  twoParts(`${count(all.length, "entry").replace("entrys", "entries")}: ${said}.${all.length > SHOWN_ITEMS ? ` The first ${SHOWN_ITEMS} are listed.` : ""}`, items, own ? await open(own) : nothing(), select);
}

// To choose a radius of duplicates by: how many rows have another so near, and pairs just so far from each other.
const SHARES = 24;
async function drawRadius() {
  const c = head.nearest, [v, order] = await Promise.all([values(c), orderOf(c)]), turn = state.tab, all = [];
  for (let i = 1; i <= SHARES; i++) {
    let last = Math.ceil((i / SHARES) * order.length) - 1;
    while (last >= 0 && last + 1 < order.length && v[order[last + 1]] === v[order[last]]) last++;
    if (last >= 0 && all[all.length - 1]?.last !== last) all.push({ last, row: order[last], far: v[order[last]] });
  }
  const own = all.find((one) => one.last === chosen.radius), pairOf = async (row) => [row, (await neighboursOf(row))[0][0]];
  const items = await Promise.all(all.map(async (one) => make("li", {}, make("button", { type: "button", className: "row", data: { row: one.row }, ariaCurrent: String(own === one),
    onclick: () => { chosen.radius = one.last; chosen.pair = 0; drawRadius(); } },
  make("b", { textContent: shown(one.far) }), make("bdi", { textContent: `${count(one.last + 1, "row")} have another so near` })))));
  let side = make("p", { className: "hint", textContent: "Choose a distance at the left: pairs of rows just so far apart are shown, for as long as they say the same the radius makes sense." });
  if (own) {
    const place = Math.max(0, own.last - (chosen.pair ?? 0)), [one, other] = await pairOf(order[place]);
    const step = (by) => { chosen.pair = Math.max(0, Math.min(own.last, (chosen.pair ?? 0) + by)); return drawRadius(); };
    side = make("div", {}, make("div", { className: "buttons" },
      make("button", { type: "button", textContent: "‹", ariaLabel: "farther pair", onclick: () => step(-1) }),
      make("span", { id: "pair", textContent: `a pair at distance ${shown(v[order[place]])}` }),
      make("button", { type: "button", id: "pair-next", textContent: "›", ariaLabel: "nearer pair", onclick: () => step(1) }),
      make("button", { type: "button", id: "select-near", textContent: "Select the rows so near", onclick: () => setFilter(`c${c}`, { kind: "range", column: c, low: -Infinity, high: own.far }) })),
    await sideBySide(one, other));
  }
  if (state.tab === turn) twoParts(`How far each row is from its nearest, to choose --radius by, in ${head.metric} distance: ${head.unit}${head.recall}. The groups of this page have ${head.found.duplicates?.radius ?? "none"}.`, items, side);
}

const percent = (share) => `${Math.round(100 * share)} %`;
const drawErrors = () => records("errors", "rows whose neighbours agree on another label, the most suspicious first",
  (one) => `${labelName(one.label)} → ${labelName(one.suggested)}`, async (one) => make("div", {},
    make("p", { textContent: `Its label is ${labelName(one.label)}; ${percent(one.agreement)} of its neighbours have ${labelName(one.suggested)}, ${percent(one.own)} its own.` }),
    await withNearest(one)));
async function withNearest(one) {
  const nearest = await neighboursOf(one.row);
  return nearest.length ? sideBySide(one.row, nearest[0][0], "Beside its nearest row:") : nothing();
}
const drawPairs = () => records("pairs", "near rows of different labels, for experts to label",
  (one) => `${labelName(one.label)} / ${labelName(one.other_label)}`, (one) => sideBySide(one.row, one.other, `distance ${shown(one.distance)}; set aside for ${one.split}`));
const drawOutliers = () => records("outliers", `rows that lie apart from their neighbours, by ${head.outlier_score}`,
  (one) => shown(one.score), (one) => withNearest(one));

function plainTable(heads, rows) {
  return make("table", { className: "plain" }, make("thead", {}, make("tr", {}, ...heads.map((one) => make("th", { scope: "col", textContent: one })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((one) => make("td", { textContent: typeof one === "number" ? shown(one) : String(one ?? "") }))))));
}

function drawFigures() {
  const found = head.found.figures, box = make("div", { className: "figures" });
  for (const text of found.warnings) box.append(make("p", { className: "warning", textContent: text }));
  box.append(plainTable(["Figure", "Value", "What it means", "How it is computed"], found.table.map((one) => [one.title, `${one.shown} ${one.unit}`, one.meaning, `${one.formula} (${one.source})`])));
  for (const curve of found.curves) box.append(lineChart(curve));
  if (found.classes.length) box.append(make("h4", { textContent: "Classes, the worst first" }),
    plainTable(["Label", "Rows", "Right", "Most often taken for"], found.classes.map((one) => [labelName(one.label), one.rows, percent(one.right), one["most often taken for"]])));
  if (found.confusion) box.append(make("h4", { textContent: "The row's label (down) and the vote of its neighbours (across), in percent" }), confusionTable(found.confusion));
  $("pane").replaceChildren(box);
  $("pane").dataset.list = "figures";
}

function confusionTable({ names, shares }) {
  return make("table", { className: "confusion" }, make("thead", {}, make("tr", {}, make("th"), ...names.map((one) => make("th", { scope: "col" }, make("span", { textContent: labelName(one) }))))),
    make("tbody", {}, ...shares.map((row, i) => make("tr", {}, make("th", { scope: "row", textContent: labelName(names[i]) }),
      ...row.map((share) => make("td", { textContent: share >= 0.005 ? String(Math.round(100 * share)) : "", style: { background: `color-mix(in srgb, var(--shade) ${Math.round(45 * share)}%, transparent)` } }))))));
}

// A chart of lines, as SVG in the page's colours.
function lineChart({ title, x, y, log, lines }) {
  const space = "http://www.w3.org/2000/svg", [w, h, left, low] = [560, 230, 54, 36];
  const svg = (tag, attributes, text) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const all = lines.flatMap((one) => one.points), place = (value) => (log ? Math.log(value) : value);
  const [x0, x1] = [Math.min, Math.max].map((end) => end(...all.map(([one]) => place(one))));
  const [y0, y1] = [Math.min, Math.max].map((end) => end(...all.map(([, one]) => one)));
  const px = (value) => left + ((w - left - 12) * (place(value) - x0)) / (x1 - x0 || 1), py = (value) => h - low - ((h - low - 12) * (value - y0)) / (y1 - y0 || 1);
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": title });
  for (let i = 0; i <= 4; i++) {
    const value = y0 + ((y1 - y0) * i) / 4, across = log ? Math.exp(x0 + ((x1 - x0) * i) / 4) : x0 + ((x1 - x0) * i) / 4;
    picture.append(svg("line", { x1: left, x2: w - 12, y1: py(value), y2: py(value), class: "grid" }), svg("text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, shown(Number(value.toPrecision(3)))),
      svg("text", { x: px(across), y: h - low + 16, "text-anchor": "middle" }, shown(Math.round(across))));
  }
  picture.append(svg("text", { x: (w + left) / 2, y: h - 4, "text-anchor": "middle" }, x));
  lines.forEach((one, i) => picture.append(svg("polyline", { points: one.points.map(([a, b]) => `${px(a)},${py(b)}`).join(" "), fill: "none", stroke: `#${CATEGORIES[i]}`, "stroke-width": 2 })));
  return make("figure", {}, make("figcaption", { textContent: `${title} (${y})` }), picture,
    make("p", { className: "key" }, ...lines.map((one, i) => make("span", {}, make("i", { style: { background: `#${CATEGORIES[i]}` } }), one.name))));
}
