"use strict";
// The page of a run: what is linked with what. The figures are Bokeh's; everything here goes by row number.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const n = data.ids.length;
  const format = (x) => (Number.isFinite(x) ? String(Number(x.toPrecision(4))) : "none");
  const count = (x, word) => `${x.toLocaleString("en")} ${word}${x === 1 ? "" : "s"}`;
  let columns, rows, bars, focus, near, cut, colors, figures;
  let order = [], down = []; // rows with a score, lowest first and highest first; of equal scores the lower row first
  let flipped = false; // whether a high score means crowded
  let current = null;
  let list = "unique";
  const before = [];

  // Texts and neighbours are unpacked when they are first needed.
  const unpacked = {};
  const unpack = (name) =>
    (unpacked[name] ??= (async () => {
      const text = atob($(name).textContent);
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Response(stream).arrayBuffer();
    })());
  const texts = () => (unpacked.parsed ??= unpack("texts").then((b) => JSON.parse(new TextDecoder().decode(b))));
  // The first lists' texts lie beside the data, so that the page is there before the others are unpacked.
  const textsOf = async (which) => (which.every((row) => row in data.early) ? data.early : texts());
  const indices = () => unpack("indices").then((b) => new Int32Array(b));
  const distances = () => unpack("distances").then((b) => new Float32Array(b));

  const scores = () => columns[$("score").value];
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  function rank() {
    const s = scores();
    const found = new Uint32Array(n);
    let m = 0;
    for (let i = 0; i < n; i++) if (Number.isFinite(s[i])) found[m++] = i;
    order = found.slice(0, m).sort((a, b) => s[a] - s[b] || a - b);
    down = new Uint32Array(m);
    for (let end = m, filled = 0; end > 0;) { // rows of equal scores keep their order
      let begin = end - 1;
      while (begin > 0 && s[order[begin - 1]] === s[order[begin]]) begin--;
      down.set(order.subarray(begin, end), filled);
      filled += end - begin;
      end = begin;
    }
  }

  // Rows with a score by how far their rank is from the middle, nearest first, as `vicinal select --strategy middle`.
  function fromMiddle() {
    const s = scores(), m = order.length;
    const far = new Float64Array(n);
    for (let i = 0; i < m;) {
      let end = i;
      while (end < m && s[order[end]] === s[order[i]]) end++;
      for (let j = i; j < end; j++) far[order[j]] = Math.abs(i + end - m);
      i = end;
    }
    return order.slice().sort((a, b) => far[a] - far[b] || a - b);
  }

  function drawBars() {
    const s = scores();
    if (!order.length) {
      bars.data = { left: [], right: [], all: [], part: [] };
      return;
    }
    const low = s[order[0]], high = s[order[order.length - 1]];
    const bins = high > low ? 60 : 1;
    const width = high > low ? (high - low) / bins : Math.abs(low) / 10 || 1; // equal scores are one bar
    const first = high > low ? low : low - width / 2;
    const all = new Float64Array(bins), part = new Float64Array(bins);
    const bin = (x) => Math.max(0, Math.min(bins - 1, Math.floor((x - first) / width)));
    for (const i of order) all[bin(s[i])]++;
    for (const i of rows.selected.indices) if (Number.isFinite(s[i])) part[bin(s[i])]++;
    const left = Float64Array.from(all, (_, i) => first + i * width);
    bars.data = { left, right: left.map((x) => x + width), all, part };
  }

  function chooseScore(drawn = false) {
    const number = Number($("score").value);
    rank();
    const s = scores();
    if (order.length && !drawn) {
      const at = (q) => s[order[Math.min(order.length - 1, Math.floor(q * order.length))]];
      colors.setv({ low: at(0.01), high: at(0.99) });
    }
    if (!drawn) rows.data = { ...rows.data, score: s };
    figures.histogram.below[0].axis_label = `${data.labels[number]} (${data.units[number]})`;
    const crowded = data.high[number] === "crowded", ends = crowded || ["unique", "outlying"].includes(data.high[number]);
    const names = ends ? ["Most unique", "Most redundant"] : ["Highest", "Lowest"];
    document.querySelector("[data-list=unique]").textContent = names[0];
    document.querySelector("[data-list=redundant]").textContent = names[1];
    flipped = crowded;
    const without = n - order.length;
    $("meaning").textContent = `High is ${data.high[number]}. Drag across the bars to see those samples on the map.` +
      (without ? ` ${count(without, "sample")} without this score.` : "");
    $("colour").textContent = `Colour is ${data.labels[number]} (${data.units[number]}). Click a point to see the sample.`;
    drawBars();
    drawCut();
    drawList();
    if (current !== null) show(current, false);
  }

  function cutRows() {
    const kept = order.length - Math.round(Number($("percent").value) / 100 * order.length);
    const ranked = { low: () => down, high: () => order, both: fromMiddle }[$("end").value]();
    return [ranked.slice(kept), ranked.slice(0, kept)];
  }

  function drawCut() {
    const [gone, kept] = cutRows();
    const s = scores(), end = $("end").value;
    let low = Infinity, high = -Infinity;
    for (const row of kept) {
      low = Math.min(low, s[row]);
      high = Math.max(high, s[row]);
    }
    cut[0].location = gone.length && end !== "high" ? low : null;
    cut[1].location = gone.length && end !== "low" ? high : null;
    $("cut").textContent = gone.length
      ? `${$("percent").value} % drops ${count(gone.length, "row")}, keeps ${count(kept.length, "row")} from ${format(low)} to ${format(high)}`
      : `${$("percent").value} % drops nothing`;
  }

  const item = (row, head, text) => {
    const button = element("button", { className: "row", type: "button" },
      element("b", { textContent: head }),
      element("span", {}, element("i", {}, element("bdi", { textContent: data.ids[row] })), " ",
        element("bdi", { textContent: text })));
    button.dataset.row = row;
    if (row === current) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => show(row));
    return element("li", {}, button);
  };

  async function drawList() {
    for (const tab of document.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", tab.dataset.list === list);
    const s = scores();
    const asked = list;
    const out = $("list");
    let t;
    const line = (row) => item(row, format(s[row]), t[row]);
    if (list === "duplicates") {
      t = await textsOf(data.groups.flatMap((group) => group.rows));
      if (list !== asked) return;
      const groups = data.groups.map((group) => element("div", { className: "group" },
        element("h4", { textContent: `${count(group.size, "row")}${group.size > group.rows.length ? `, the first ${group.rows.length}` : ""}` }),
        element("ul", {}, ...group.rows.map(line))));
      const what = data.radius ? `within ${data.radius} of each other` : "that are exact copies";
      out.replaceChildren(element("p", { className: "hint",
        textContent: `${count(data.group_count, "group")} of rows ${what}; ${count(data.duplicates, "row")} could go.` }), ...groups);
      return;
    }
    let shown, said;
    const top = () => [[...down.slice(0, data.shown)], "The highest of this score."];
    const bottom = () => [[...order.slice(0, data.shown)], "The lowest of this score."];
    if (list === "unique") [shown, said] = flipped ? bottom() : top();
    if (list === "redundant") [shown, said] = flipped ? top() : bottom();
    if (list === "selected") {
      shown = Array.from(rows.selected.indices).sort((a, b) => s[b] - s[a] || a - b);
      said = `${count(shown.length, "row")} selected${shown.length > 100 ? ", the first 100 by score" : ""}.`;
      shown = shown.slice(0, 100);
    }
    t = await textsOf(shown);
    if (list !== asked) return;
    out.replaceChildren(element("p", { className: "hint", textContent: said }), element("ol", {}, ...shown.map(line)));
  }

  async function show(row, remember = true) {
    if (remember && current !== null && current !== row) before.push(current);
    current = row;
    const [t, found, far] = await Promise.all([texts(), indices(), distances()]);
    if (current !== row) return;
    const facts = element("dl");
    data.labels.forEach((label, number) => {
      facts.append(element("dt", { textContent: label }),
        element("dd", { textContent: `${format(columns[number][row])} (${data.units[number]})` }));
    });
    const place = order.indexOf(row);
    facts.append(element("dt", { textContent: "rank" }),
      element("dd", { textContent: place < 0 ? "no score" : `${(place + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")} from the lowest` }));
    const neighbours = [];
    for (let j = 0; j < data.k; j++) {
      const other = found[row * data.k + j];
      if (other >= 0) neighbours.push([other, far[row * data.k + j]]);
    }
    $("sample").replaceChildren(
      element("h3", { textContent: `Sample ${data.ids[row]}` }), facts,
      element("p", { className: "text", dir: "auto", textContent: t[row] || "(no text)" }),
      element("h3", { textContent: `Its ${neighbours.length} nearest` }),
      element("p", { className: "hint", textContent: `${data.metric} distance: ${data.unit}` }),
      element("ol", { id: "neighbours" }, ...neighbours.map(([other, d]) => item(other, format(d), t[other]))));
    const at = (which) => ({ x: which.map((i) => rows.data.x[i]), y: which.map((i) => rows.data.y[i]) });
    focus.data = at([row]);
    near.data = at(neighbours.map(([other]) => other));
    for (const button of document.querySelectorAll("#list .row")) {
      if (Number(button.dataset.row) === row) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  function select(which, name = "selected") {
    list = name;
    rows.selected.indices = Array.from(which);
  }

  window.vicinal = {
    selectionChanged() {
      const chosen = rows.selected.indices;
      drawBars();
      if (chosen.length === 1) show(chosen[0]);
      if (chosen.length > 1) list = "selected";
      drawList();
    },
    brushed(geometry) {
      const s = scores();
      const low = Math.min(geometry.x0, geometry.x1), high = Math.max(geometry.x0, geometry.x1);
      const which = [];
      for (let i = 0; i < n; i++) if (s[i] >= low && s[i] <= high) which.push(i);
      select(which);
    },
  };

  function theme(dark) {
    document.documentElement.classList.toggle("dark", dark);
    $("theme").textContent = dark ? "Light" : "Dark";
    const ink = dark ? "#e8ecee" : "#1d2326", soft = dark ? "#37424a" : "#e3e7e8";
    colors.palette = dark ? data.dark : data.light;
    for (const figure of Object.values(figures)) {
      for (const axis of [...figure.below, ...figure.left]) {
        axis.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: soft,
          major_tick_line_color: soft, minor_tick_line_color: null });
      }
      for (const grid of figure.center) if (grid.type === "Grid") grid.grid_line_color = soft;
      for (const bar of figure.right) {
        if (bar.type === "ColorBar") bar.setv({ major_label_text_color: ink, background_fill_color: null });
      }
    }
  }

  async function findText() {
    const wanted = $("find").value.trim().toLowerCase();
    if (!wanted) return select([], "unique");
    const exact = data.ids.findIndex((id) => String(id).toLowerCase() === wanted);
    if (exact >= 0) return show(exact);
    const t = await texts();
    const which = [];
    for (let i = 0; i < n; i++) if (t[i].toLowerCase().includes(wanted)) which.push(i);
    select(which);
  }

  function clear() {
    $("find").value = "";
    focus.data = near.data = { x: [], y: [] };
    select([], "unique");
  }

  function step(by) {
    const buttons = [...document.querySelectorAll("#list .row")];
    if (!buttons.length) return;
    const at = buttons.findIndex((button) => Number(button.dataset.row) === current);
    const next = buttons[Math.max(0, Math.min(buttons.length - 1, at + by))];
    next.focus();
    show(Number(next.dataset.row));
  }

  function start() {
    const models = Bokeh.documents.flatMap((one) => [...one.all_models ?? one._all_models.values()]);
    const named = (name) => models.find((model) => model.name === name);
    [rows, bars, focus, near, colors] = ["rows", "bars", "focus", "near", "colors"].map(named);
    cut = ["cut from", "cut to"].map(named);
    columns = data.labels.map((_, number) => (number ? rows.data["s" + number] : rows.data.score));
    figures = { map: named("map"), histogram: named("histogram") };
    $("score").append(...data.labels.map((label, i) => element("option", { value: i, textContent: label })));
    $("about").textContent = `${count(n, "sample")}; the ${data.k} nearest of each by ${data.metric} distance (${data.unit}).`;
    $("score").addEventListener("change", () => chooseScore());
    $("percent").addEventListener("input", drawCut);
    $("end").addEventListener("change", drawCut);
    $("show").addEventListener("click", () => select(cutRows()[0]));
    $("clear").addEventListener("click", clear);
    $("find").addEventListener("change", findText);
    $("theme").addEventListener("click", () => theme(!document.documentElement.classList.contains("dark")));
    const keys = () => {
      $("keys").hidden = !$("keys").hidden;
      $("help").setAttribute("aria-expanded", String(!$("keys").hidden));
    };
    $("help").addEventListener("click", keys);
    for (const tab of document.querySelectorAll("[role=tab]")) {
      tab.addEventListener("click", () => { list = tab.dataset.list; drawList(); });
    }
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") { document.activeElement.blur(); return clear(); }
      if (["INPUT", "SELECT"].includes(document.activeElement.tagName)) return;
      if (event.key === "/") { event.preventDefault(); $("find").focus(); }
      if (event.key === "j") step(1);
      if (event.key === "k") step(-1);
      if (event.key === "b" && before.length) show(before.pop(), false);
      if (event.key === "d") $("theme").click();
      if (event.key === "?") keys();
      if (/^[1-9]$/.test(event.key)) document.querySelectorAll("#neighbours .row")[event.key - 1]?.click();
    });
    if (matchMedia("(prefers-color-scheme: dark)").matches) theme(true);
    chooseScore(true); // the figures come with the first score and in light colours
    document.documentElement.dataset.ready = "true";
  }

  // Bokeh draws when the page has loaded; its models are there then.
  const wait = () => (window.Bokeh?.documents.length ? start() : setTimeout(wait, 10));
  wait();
})();
