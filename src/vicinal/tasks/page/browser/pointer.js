// What the pointer and the keys do on the map: drag moves it (or selects, with a tool or Shift), the wheel zooms, a click
// shows the nearest sample, and the pointer shows the first lines of the one that it is nearest to.
let tool = "move", held = null, tips = 0;
const tip = $("tip");

function setTool(name) {
  tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  over.classList.toggle("selecting", name !== "move");
}

const at = (event) => { const box = over.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };

function hideTip() {
  tips++;
  tip.hidden = true;
  if (hovered !== null) { hovered = null; drawOver(); }
}

async function showTip(px, py) {
  const turn = ++tips, found = nearestRow(px, py);
  if (!found || found.distance > 24) { hideTip(); return; }
  hovered = found.row;
  drawOver();
  const [id, text] = await Promise.all([idOf(found.row), preview(found.row, 320)]);
  if (turn !== tips) return;
  const lines = [make("b", { textContent: String(id) })];
  const { column: c } = state.colour;
  if (c >= 0) {
    const value = await cell(c, found.row);
    lines.push(make("span", { textContent: ` ${columns[c].name} ${columns[c].kind === "number" ? shown(value ?? NaN) : labelName(value)}` }));
  }
  if (turn !== tips) return;
  tip.replaceChildren(...lines, make("p", { dir: "auto", textContent: text || "(no text)" }));
  tip.hidden = false;
  const box = over.getBoundingClientRect(), wide = tip.offsetWidth, high = tip.offsetHeight;
  Object.assign(tip.style, { left: `${Math.max(2, Math.min(box.width - wide - 2, px + 14))}px`,
    top: `${py + 18 + high > box.height ? Math.max(2, py - high - 12) : py + 18}px` });
}

function startMap() {
  over.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    over.setPointerCapture(event.pointerId);
    held = { from: at(event), last: at(event), moved: false, tool: event.shiftKey && tool === "move" ? "box" : tool, points: [] };
    hideTip();
  });
  over.addEventListener("pointermove", (event) => {
    const [px, py] = at(event);
    if (!held) { showTip(px, py); return; }
    held.moved ||= Math.hypot(px - held.from[0], py - held.from[1]) > 4;
    if (!held.moved) return;
    if (held.tool === "move") panBy(px - held.last[0], py - held.last[1]);
    else {
      const place = toMap(px, py).map(Math.round);
      if (held.tool === "box") held.points = [toMap(...held.from).map(Math.round), place];
      else if (!held.points.length) held.points = [toMap(...held.from).map(Math.round), place];
      else if (Math.hypot(px - held.last[0], py - held.last[1]) > 3) held.points.push(place);
      else return;
      drawnArea = held.points;
      drawOver();
    }
    held.last = [px, py];
  });
  over.addEventListener("pointerup", (event) => {
    const done = held;
    held = drawnArea = null;
    if (!done) return;
    if (!done.moved) {
      const found = nearestRow(...at(event));
      if (found) show(found.row);
    } else if (done.tool !== "move" && done.points.length > 1) selectArea(done.points);
  });
  over.addEventListener("pointerleave", hideTip);
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    hideTip();
    zoomBy(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 320), ...at(event));
  }, { passive: false });
  over.addEventListener("dblclick", (event) => zoomBy(2, ...at(event)));
  over.addEventListener("keydown", (event) => {
    const { width, height } = frame(), moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) panBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5, width / 2, height / 2);
    else if (event.key === "-") zoomBy(1 / 1.5, width / 2, height / 2);
    else if (event.key === "0") { state.view = null; changed("view"); }
    else if (event.key === "Enter") { const found = nearestRow(width / 2, height / 2); if (found) show(found.row); }
    else if (event.key === "v") selectView();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
  $("zoom-in").addEventListener("click", () => zoomBy(1.6, canvas.clientWidth / 2, canvas.clientHeight / 2));
  $("zoom-out").addEventListener("click", () => zoomBy(1 / 1.6, canvas.clientWidth / 2, canvas.clientHeight / 2));
  $("whole").addEventListener("click", () => { state.view = null; changed("view"); });
  $("in-view").addEventListener("click", selectView);
  $("named").addEventListener("click", () => {
    $("named").setAttribute("aria-pressed", String($("named").getAttribute("aria-pressed") !== "true"));
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
}

const selectArea = (points) => setFilter("area", { kind: "area", points });
function selectView() {
  const { width, height } = frame();
  return selectArea([toMap(0, height).map(Math.round), toMap(width, 0).map(Math.round)]);
}

// The legend: what the colours are, and how values became colours.
async function drawLegend() {
  const { column: c } = state.colour, box = $("legend");
  if (c < 0) {
    box.replaceChildren(make("span", { textContent: "Shade: how many rows lie there." }));
  } else if (columns[c].kind === "category") {
    const codes = await values(c), counts = new Uint32Array(columns[c].labels.length);
    for (let i = 0; i < n; i++) counts[codes[i]]++;
    const items = [];
    columns[c].labels.forEach((label, code) => {
      if (label === null || code >= CATEGORIES.length) return;
      items.push(make("button", { type: "button", title: `${count(counts[code], "row")}: click to select them`, data: { code },
        onclick: () => toggleValue(c, code) },
      make("i", { style: { background: `#${CATEGORIES[code]}` } }), make("span", { textContent: labelName(label) })));
    });
    const more = columns[c].labels.filter((label, code) => label !== null && code >= CATEGORIES.length).length;
    const without = columns[c].labels.includes(null);
    if (more || without) {
      const said = [more ? `${more.toLocaleString("en")} other values` : "", without ? "none" : ""].filter(Boolean).join(", ");
      items.push(make("span", { className: "other" }, make("i", { style: { background: `#${OTHERS}` } }), said));
    }
    box.replaceChildren(...items);
  } else {
    const spread = await spreadOf(c), byRank = state.colour.byRank ?? spread.heavy;
    const bar = make("i", { className: "bar", style: { background: `linear-gradient(to right, ${ramp().filter((_, i) => i % 7 === 0).map((one) => `rgb(${one})`).join(",")})` } });
    const [low, high] = byRank ? [spread.least, spread.most] : [spread.q01, spread.q99];
    const said = byRank ? "by rank" : "by value, its last percent at each end in one colour";
    const pick = make("button", { type: "button", id: "by-rank", textContent: byRank ? "Colour by value" : "Colour by rank",
      onclick: () => { state.colour.byRank = !byRank; changed("colour"); } });
    box.replaceChildren(...(spread.empty ? [make("span", { textContent: "No row has this value." })] : [
      make("span", { textContent: shown(low) }), bar, make("span", { textContent: shown(high) }),
      make("span", { className: "hint", id: "scale", textContent: `${said}${spread.heavy && byRank ? ", because few rows lie far above the others" : ""}` }), pick]));
  }
  if (state.colour !== undefined && document.activeElement === document.body && box.dataset.focus) $("by-rank")?.focus();
}
