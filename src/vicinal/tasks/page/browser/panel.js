// The filters at the side: one for each column, a histogram to brush, values to tick, or a text to find.
const BINS = 48;
const panels = []; // functions that draw the open filters anew

function startPanel() {
  const list = $("filters");
  const first = columns.findIndex((one) => one.kind === "number");
  columns.forEach((one, c) => {
    if (c === head.id) return;
    const body = make("div", { className: "body" });
    const said = make("span", { className: "said" });
    const box = make("details", { className: "filter", data: { column: one.name } },
      make("summary", {}, make("b", { textContent: one.name }), said), body);
    let built = null;
    const open = async () => {
      if (!box.open) return;
      built ??= { number: numberFilter, category: valueFilter, text: textFilter }[one.kind](c, body);
      (await built)();
    };
    box.addEventListener("toggle", open);
    panels.push(() => {
      said.textContent = state.filters.has(`c${c}`) ? "filtered" : one.high ? `high: ${one.high}` : "";
      said.classList.toggle("on", state.filters.has(`c${c}`));
      return open();
    });
    if (c === first || (one.role === "field" && head.opened.includes(c))) box.open = true;
    list.append(box);
  });
  on("filters", () => Promise.all(panels.map((draw) => draw())));
  on("colour", () => Promise.all(panels.map((draw) => draw())));
}

// Bars of all rows and of those that pass, between the spread's low and high; what lies beyond is in the first and last.
async function numberFilter(c, body) {
  const [v, spread] = await Promise.all([values(c), spreadOf(c)]);
  const bars = make("canvas", { className: "bars", tabIndex: 0, role: "slider", ariaLabel: `${columns[c].name}: drag to select a range`,
    ariaValueMin: String(spread.least), ariaValueMax: String(spread.most), ariaValueNow: String(spread.least) });
  const low = make("input", { type: "number", step: "any", ariaLabel: `${columns[c].name} from` });
  const high = make("input", { type: "number", step: "any", ariaLabel: `${columns[c].name} to` });
  const without = v.length - (await orderOf(c)).length;
  const said = [columns[c].unit, without ? `${count(without, "row")} without` : "",
    spread.heavy ? `heavy tail: ${count(spread.beyond, "row")} beyond ${shown(spread.low)} to ${shown(spread.high)} in the end bars, up to ${shown(spread.most)}` : ""].filter(Boolean);
  body.append(bars, make("div", { className: "range" }, low, make("span", { textContent: "to" }), high,
    make("button", { type: "button", className: "none", textContent: "All", title: "Remove this filter", onclick: () => setFilter(`c${c}`, null) })),
  make("p", { className: "hint", textContent: said.join("; ") }));
  const width = spread.high > spread.low ? (spread.high - spread.low) / BINS : 1;
  const bin = (x) => Math.max(0, Math.min(BINS - 1, Math.floor((x - spread.low) / width)));
  const all = new Float64Array(BINS), some = new Float64Array(BINS);
  for (let i = 0; i < n; i++) if (Number.isFinite(v[i])) all[bin(v[i])]++;
  const set = (from, to) => setFilter(`c${c}`, from === null ? null : { kind: "range", column: c, low: from, high: to });
  const typed = () => {
    const from = low.value === "" ? -Infinity : Number(low.value), to = high.value === "" ? Infinity : Number(high.value);
    set(from === -Infinity && to === Infinity ? null : from, to);
  };
  low.addEventListener("change", typed);
  high.addEventListener("change", typed);
  brush(bars, (a, b) => {
    const value = (share) => spread.low + share * (spread.high - spread.low);
    if (spread.heavy) [a, b] = [Math.floor(a * BINS) / BINS, Math.ceil(b * BINS) / BINS];
    set(a <= 0 ? -Infinity : value(a), b >= 1 ? Infinity : value(b)); // the end bars hold all that is beyond
  });
  const draw = () => {
    some.fill(0);
    if (state.mask) for (let i = 0; i < n; i++) if (state.mask[i] && Number.isFinite(v[i])) some[bin(v[i])]++;
    const own = state.filters.get(`c${c}`);
    low.value = own?.kind === "range" && Number.isFinite(own.low) ? String(own.low) : "";
    high.value = own?.kind === "range" && Number.isFinite(own.high) ? String(own.high) : "";
    low.placeholder = shown(spread.least);
    high.placeholder = shown(spread.most);
    const share = (x) => Math.max(0, Math.min(1, (x - spread.low) / (BINS * width)));
    drawBars(bars, all, state.mask ? some : all, own?.kind === "range" ? [share(own.low), share(own.high)] : null);
    Object.assign(bars.dataset, { all: all.join(" "), some: (state.mask ? some : all).join(" ") });
  };
  return draw;
}

function drawBars(bars, all, some, range) {
  const scale = Math.min(2, window.devicePixelRatio || 1), w = bars.clientWidth, h = bars.clientHeight;
  if (!w) return;
  Object.assign(bars, { width: Math.round(w * scale), height: Math.round(h * scale) });
  const ink = bars.getContext("2d"), top = Math.sqrt(Math.max(1, ...all)), step = w / all.length;
  ink.scale(scale, scale);
  // Heights are square roots, so that bars of few rows are seen beside those of many.
  all.forEach((rows, i) => {
    for (const [value, colour] of [[rows, css("--bar")], [some[i], css("--accent")]]) {
      if (!value) continue;
      const high = Math.max(1.5, (h - 4) * (Math.sqrt(value) / top));
      ink.fillStyle = colour;
      ink.fillRect(i * step + 0.5, h - high, Math.max(1, step - 1), high);
    }
  });
  if (range) {
    ink.fillStyle = css("--veil");
    ink.fillRect(range[0] * w, 0, (range[1] - range[0]) * w, h);
    ink.fillStyle = css("--accent");
    for (const edge of range) ink.fillRect(Math.min(w - 2, edge * w), 0, 2, h);
  }
}

// A range by dragging, or by the arrow keys: left and right move it, Shift widens it.
function brush(bars, chosen) {
  let from = null, keys = null;
  const share = (event) => { const box = bars.getBoundingClientRect(); return (event.clientX - box.left) / box.width; };
  bars.addEventListener("pointerdown", (event) => { from = share(event); bars.setPointerCapture(event.pointerId); });
  bars.addEventListener("pointermove", (event) => { if (from !== null && event.buttons) bars.title = ""; });
  bars.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = share(event), [a, b] = [Math.min(from, to), Math.max(from, to)];
    from = null;
    if (b - a < 0.004) { const bin = Math.floor(a * BINS); chosen(bin / BINS, (bin + 1) / BINS); } else chosen(a, b);
  });
  bars.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    keys ??= [0, BINS / 4];
    keys = event.shiftKey ? [keys[0], Math.max(keys[0] + 1, Math.min(BINS, keys[1] + move))]
      : keys[0] + move < 0 || keys[1] + move > BINS ? keys : keys.map((one) => one + move);
    chosen(keys[0] / BINS, keys[1] / BINS);
  });
}

const SHOWN_VALUES = 60;
async function valueFilter(c, body) {
  const codes = await values(c), { labels } = columns[c];
  const all = new Uint32Array(labels.length), some = new Uint32Array(labels.length);
  for (let i = 0; i < n; i++) all[codes[i]]++;
  const list = make("div", { className: "values", role: "group", ariaLabel: columns[c].name });
  const search = make("input", { type: "search", placeholder: `find in ${labels.length.toLocaleString("en")} values`, ariaLabel: `find a value of ${columns[c].name}` });
  const order = make("select", { ariaLabel: `order of the values of ${columns[c].name}` });
  if (labels.length > 8) body.append(make("div", { className: "range" }, search, order));
  body.append(list);
  const draw = async () => {
    // The values can be put in the order of their rows' mean of the score that colours the map.
    const by = state.colour.column, v = by >= 0 && columns[by].kind === "number" ? await values(by) : null;
    const sums = new Float64Array(labels.length), counted = new Uint32Array(labels.length), by_mean = order.value;
    order.replaceChildren(...[["rows", "most rows"], ...(v ? [["low", `lowest ${columns[by].name}`], ["high", `highest ${columns[by].name}`]] : [])]
      .map(([value, textContent]) => make("option", { value, textContent })));
    order.value = v && by_mean ? by_mean : "rows";
    some.fill(0);
    for (let i = 0; i < n; i++) {
      if (!passes(i)) continue;
      some[codes[i]]++;
      if (v && Number.isFinite(v[i])) { sums[codes[i]] += v[i]; counted[codes[i]]++; }
    }
    const mean = (code) => (counted[code] ? sums[code] / counted[code] : NaN), ranked = order.value !== "rows", sign = order.value === "high" ? -1 : 1;
    const compared = (a, b) => (ranked ? sign * ((counted[a] ? mean(a) : sign * Infinity) - (counted[b] ? mean(b) : sign * Infinity)) || 0 : some[b] - some[a]);
    const own = state.filters.get(`c${c}`), ticked = new Set(own?.codes ?? []), wanted = folded(search.value);
    const rows = labels.map((label, code) => code).filter((code) => !wanted || folded(labelName(labels[code])).includes(wanted));
    rows.sort((a, b) => ticked.has(b) - ticked.has(a) || compared(a, b) || a - b);
    const focus = list.contains(document.activeElement) ? document.activeElement.dataset.code : null;
    list.replaceChildren(...rows.slice(0, SHOWN_VALUES).map((code) => {
      const box = make("input", { type: "checkbox", checked: ticked.has(code), data: { code }, onchange: () => toggleValue(c, code) });
      return make("label", {}, box, make("span", { className: "name", textContent: labelName(labels[code]), title: labelName(labels[code]) }),
        make("span", { className: "number", title: v && counted[code] ? `mean of ${columns[by].name}: ${shown(mean(code))}` : "",
          textContent: ranked ? shown(mean(code)) : state.mask ? `${some[code].toLocaleString("en")} / ${all[code].toLocaleString("en")}` : all[code].toLocaleString("en") }));
    }));
    if (rows.length > SHOWN_VALUES) list.append(make("p", { className: "hint", textContent: `and ${(rows.length - SHOWN_VALUES).toLocaleString("en")} more; type to find them` }));
    if (focus !== null) list.querySelector(`[data-code="${focus}"]`)?.focus();
  };
  search.addEventListener("input", draw);
  order.addEventListener("change", draw);
  return draw;
}

function toggleValue(c, code) {
  const own = state.filters.get(`c${c}`), codes = new Set(own?.kind === "values" ? own.codes : []);
  if (!codes.delete(code)) codes.add(code);
  return setFilter(`c${c}`, codes.size ? { kind: "values", column: c, codes: [...codes].sort((a, b) => a - b) } : null);
}

function textFilter(c, body) {
  const input = make("input", { type: "search", placeholder: "contains …", ariaLabel: `${columns[c].name} contains` });
  body.append(input);
  typing(input, (text) => setFilter(`c${c}`, text ? { kind: "text", column: c, text } : null));
  return () => { if (document.activeElement !== input) input.value = state.filters.get(`c${c}`)?.text ?? ""; };
}

// Calls a function with what is typed, once the keys rest for a moment.
function typing(input, call) {
  let timer = 0;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => call(input.value), 140); });
}

// The cut: how many rows a share of one end drops, what it keeps, and the command that keeps the same rows.
function startCut() {
  const scores = columns.map((one, c) => c).filter((c) => columns[c].role === "score");
  if (!scores.length) { $("cutting").hidden = true; return; }
  $("cut-by").append(...scores.map((c) => make("option", { value: c, textContent: columns[c].name })));
  const drawn = async () => {
    const c = Number($("cut-by").value), end = $("cut-end").value, percent = Number($("percent").value);
    const [gone, stays] = await cutRows(c, end, percent), v = await values(c);
    let low = Infinity, high = -Infinity;
    for (const row of stays) { low = Math.min(low, v[row]); high = Math.max(high, v[row]); }
    $("cut").textContent = gone.length
      ? `${percent} % drops ${count(gone.length, "row")}, keeps ${count(stays.length, "row")} from ${shown(low)} to ${shown(high)}`
      : `${percent} % drops nothing`;
    $("cut-command").textContent = gone.length && stays.length ? cutCommand(c, end, stays.length) : "";
    $("cut-copy").hidden = !$("cut-command").textContent;
  };
  for (const name of ["cut-by", "cut-end", "percent"]) $(name).addEventListener("input", drawn);
  const select = (kept) => setFilter("cut", { kind: "cut", column: Number($("cut-by").value), end: $("cut-end").value, percent: Number($("percent").value), kept });
  $("show").addEventListener("click", () => select(false));
  $("keep").addEventListener("click", () => select(true));
  $("cut-copy").addEventListener("click", () => copy($("cut-command").textContent));
  return drawn();
}

// One chip for each filter, with a button that removes it.
async function drawChips() {
  const chips = [];
  for (const [name, filter] of state.filters) {
    const one = filter.column >= 0 ? columns[filter.column] : null;
    const said = {
      range: () => `${one.name} ${Number.isFinite(filter.low) ? shown(filter.low) : "…"} to ${Number.isFinite(filter.high) ? shown(filter.high) : "…"}`,
      values: () => `${one.name}: ${filter.codes.slice(0, 3).map((code) => labelName(one.labels[code])).join(", ")}${filter.codes.length > 3 ? ` and ${filter.codes.length - 3} more` : ""}`,
      text: () => `${one ? one.name : "text"} contains “${filter.text}”`,
      area: () => "area of the map",
      rows: () => filter.said,
      cut: () => `${filter.kept ? "kept" : "dropped"} by the cut of ${filter.percent} % by ${one.name}`,
    }[filter.kind]();
    chips.push(make("button", { type: "button", className: "chip", title: "Remove this filter", data: { filter: name },
      onclick: () => { if (name === "find") $("find").value = ""; setFilter(name, null); } }, make("span", { textContent: said }), make("i", { textContent: "×", ariaHidden: "true" })));
  }
  $("chips").replaceChildren(...chips);
  const all = state.mask === null;
  $("selected").textContent = all ? count(n, "row") : `${state.selected.toLocaleString("en")} of ${count(n, "row")} selected`;
  $("clear").disabled = all && state.current === null;
}
