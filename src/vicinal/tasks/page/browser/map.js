// The map: counts of rows in each pixel, shaded, with the mean colour of the rows that lie there. It is drawn anew for
// every part of the map, so that zooming in separates what overlaps.
const NO_PLACE = 65535, GRID = 256;
const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
// Tableau's ten, as light and as dark backgrounds need them, and grey for all others.
const CATEGORIES = ["4269d0", "d67a05", "3ca951", "e0453b", "9460d6", "9c6b4e", "d1508f", "4aa3b0", "8a8d0f", "5b6b8c"];
const OTHERS = "90979c";
let xs, ys, grid; // the places, and the rows by cell of a grid over them
let shades = null, palette = []; // the colour of each row as a number, and the colours
const canvas = $("points"), over = $("over");

const rgb = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
const isDark = () => document.documentElement.classList.contains("dark");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// 64 colours of low to high; without those that the background would swallow.
function ramp() {
  const [from, to] = isDark() ? [0.2, 1] : [0, 0.9];
  return Array.from({ length: 64 }, (_, i) => {
    const place = (from + ((to - from) * i) / 63) * (VIRIDIS.length - 1), at = Math.min(VIRIDIS.length - 2, Math.floor(place));
    const [a, b] = [rgb(VIRIDIS[at]), rgb(VIRIDIS[at + 1])];
    return a.map((one, j) => Math.round(one + (b[j] - one) * (place - at)));
  });
}

// The colour of each row and the colours, both at once: the map may be drawn while a column is unpacked.
async function chooseColours() {
  const { column: c, byRank } = state.colour;
  const [colours, chosenShades] = c < 0 ? [[rgb(isDark() ? "7fb2ff" : "2457a6")], null]
    : columns[c].kind === "category" ? await ofCategory(c) : await ofNumbers(c, byRank);
  if (c !== state.colour.column) return;
  [palette, shades] = [colours, chosenShades];
}

async function ofCategory(c) {
  const codes = await values(c), last = CATEGORIES.length, found = new Uint8Array(n);
  for (let i = 0; i < n; i++) found[i] = columns[c].labels[codes[i]] === null ? last : Math.min(codes[i], last);
  return [[...CATEGORIES, OTHERS].map(rgb), found];
}

async function ofNumbers(c, byRank) {
  const [v, spread, order] = await Promise.all([values(c), spreadOf(c), orderOf(c)]);
  const found = new Uint8Array(n).fill(64), m = order.length;
  if (byRank ?? spread.heavy) {
    for (let i = 0; i < m;) { // equal values have one colour
      let end = i;
      while (end < m && v[order[end]] === v[order[i]]) end++;
      const shade = Math.min(63, Math.floor((32 * (i + end)) / m));
      for (; i < end; i++) found[order[i]] = shade;
    }
  } else {
    const low = spread.q01, width = spread.q99 - low || 1;
    for (let i = 0; i < n; i++) if (Number.isFinite(v[i])) found[i] = Math.max(0, Math.min(63, Math.floor((64 * (v[i] - low)) / width)));
  }
  return [[...ramp(), rgb(OTHERS)], found];
}

// From places on the map (0 to 65534) to pixels: the whole map fits, with a margin.
const MARGIN = { side: 16, top: 36, bottom: 34 }; // for the tools and the legend
function frame() {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const { x, y, zoom } = state.view ?? { x: 32767, y: 32767, zoom: 1 };
  const kx = (zoom * (width - 2 * MARGIN.side)) / 65534, ky = (zoom * (height - MARGIN.top - MARGIN.bottom)) / 65534;
  const middle = (height + MARGIN.top - MARGIN.bottom) / 2;
  return { width, height, kx, ky, middle, x0: width / 2 - x * kx, y0: middle + y * ky, zoom };
}
const toScreen = (row, f = frame()) => [f.x0 + xs[row] * f.kx, f.y0 - ys[row] * f.ky];
const toMap = (px, py, f = frame()) => [(px - f.x0) / f.kx, (f.y0 - py) / f.ky];

// A disc of soft edge, as offsets and weights in pixels.
function disc(radius) {
  const reach = Math.ceil(radius), found = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const weight = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
      if (weight > 0) found.push([dx, dy, weight]);
    }
  }
  return found;
}

const radiusFor = (rows) => (rows > 150000 ? 0.7 : rows > 40000 ? 1 : rows > 12000 ? 1.5 : rows > 3000 ? 2.2 : rows > 600 ? 3.2 : 4.5);
let layers = null;

function draw() {
  const f = frame(), { width, height } = f;
  if (!palette.length || width < 4 || height < 4) return;
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  if (!layers || layers.count.length !== w * h) {
    layers = Object.fromEntries(["count", "rest", "r", "g", "b"].map((name) => [name, new Float32Array(w * h)]));
  }
  for (const layer of Object.values(layers)) layer.fill(0);
  const kx = f.kx * scale, ky = f.ky * scale, x0 = f.x0 * scale, y0 = f.y0 * scale, edge = 8 * scale;
  const { mask } = state;
  let seen = 0, lit = 0;
  for (let i = 0; i < n; i++) {
    if (xs[i] === NO_PLACE) continue;
    const px = x0 + xs[i] * kx, py = y0 - ys[i] * ky;
    if (px >= -edge && py >= -edge && px < w + edge && py < h + edge) {
      seen++;
      if (mask === null || mask[i]) lit++;
    }
  }
  const bright = disc(radiusFor(lit) * scale), faint = disc(Math.min(radiusFor(seen), 2.2) * scale);
  const { count, rest, r, g, b } = layers;
  for (let i = 0; i < n; i++) {
    if (xs[i] === NO_PLACE) continue;
    const px = Math.round(x0 + xs[i] * kx), py = Math.round(y0 - ys[i] * ky);
    if (px < -edge || py < -edge || px >= w + edge || py >= h + edge) continue;
    const isLit = mask === null || mask[i] === 1, kernel = isLit ? bright : faint;
    const colour = palette[shades === null ? 0 : shades[i]];
    for (let j = 0; j < kernel.length; j++) {
      const x = px + kernel[j][0], y = py + kernel[j][1];
      if (x < 0 || y < 0 || x >= w || y >= h) continue;
      const at = y * w + x, weight = kernel[j][2];
      if (isLit) {
        count[at] += weight;
        r[at] += weight * colour[0];
        g[at] += weight * colour[1];
        b[at] += weight * colour[2];
      } else rest[at] += weight;
    }
  }
  paint(w, h, lit);
  drawOver();
  drawNames(f);
  document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
}

// The highest count that is shaded: all but the densest few pixels lie below it.
function densest(count) {
  const bins = new Uint32Array(4096);
  let m = 0;
  for (let i = 0; i < count.length; i++) if (count[i] > 0.3) { bins[Math.min(4095, Math.floor(count[i]))]++; m++; }
  let left = Math.max(1, Math.floor(m * 0.002));
  for (let bin = 4095; bin > 0; bin--) if ((left -= bins[bin]) <= 0) return bin + 1;
  return 1;
}

function paint(w, h, lit) {
  const { count, rest, r, g, b } = layers;
  const image = new ImageData(w, h), out = image.data;
  const top = Math.log1p(Math.max(3, densest(count))), quiet = rgb(isDark() ? "5a676e" : "a3adb2");
  const plain = state.colour.column < 0, least = lit > 3000 ? 0.34 : 0.62, toward = isDark() ? 255 : 0;
  for (let i = 0, o = 0; i < count.length; i++, o += 4) {
    const c = count[i];
    if (c > 0.02) {
      const depth = Math.min(1, Math.log1p(c) / top);
      // Without a column the shade itself tells the count: dense is darker on light, lighter on dark.
      const mix = plain ? 0.55 * depth * depth : 0;
      out[o] = (r[i] / c) * (1 - mix) + toward * mix;
      out[o + 1] = (g[i] / c) * (1 - mix) + toward * mix;
      out[o + 2] = (b[i] / c) * (1 - mix) + toward * mix;
      out[o + 3] = 255 * Math.min(1, c) * (least + (1 - least) * depth);
    } else if (rest[i] > 0.02) {
      [out[o], out[o + 1], out[o + 2]] = quiet;
      out[o + 3] = 255 * Math.min(0.4, 0.16 + 0.06 * Math.log1p(rest[i])) * Math.min(1, rest[i]);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

// The nearest row to a pixel, of those that pass the filters; null where no row has a place.
function nearestRow(px, py) {
  const f = frame();
  if (!grid) grid = gridded();
  const [mx, my] = toMap(px, py, f), cx = Math.floor(mx / GRID), cy = Math.floor(my / GRID);
  let best = null, least = Infinity;
  const side = grid.side, farthest = Math.max(side, Math.abs(cx), Math.abs(cy)) + side;
  const step = GRID * Math.min(f.kx, f.ky);
  for (let ring = 0; ring <= farthest && (ring - 1) * step <= least; ring++) {
    for (let y = cy - ring; y <= cy + ring; y++) {
      const skip = Math.abs(y - cy) === ring ? 1 : 2 * ring || 1;
      for (let x = cx - ring; x <= cx + ring; x += skip) {
        if (x < 0 || y < 0 || x >= side || y >= side) continue;
        const cellAt = y * side + x;
        for (let j = grid.starts[cellAt]; j < grid.starts[cellAt + 1]; j++) {
          const row = grid.rows[j];
          if (!passes(row)) continue;
          const d = Math.hypot((xs[row] - mx) * f.kx, (ys[row] - my) * f.ky);
          if (d < least || (d === least && row < best)) { least = d; best = row; }
        }
      }
    }
  }
  return best === null ? null : { row: best, distance: least };
}

function gridded() {
  const side = Math.ceil(65536 / GRID), starts = new Uint32Array(side * side + 1);
  const at = (i) => Math.floor(ys[i] / GRID) * side + Math.floor(xs[i] / GRID);
  let m = 0;
  for (let i = 0; i < n; i++) if (xs[i] !== NO_PLACE) { starts[at(i) + 1]++; m++; }
  for (let j = 0; j < side * side; j++) starts[j + 1] += starts[j];
  const next = starts.slice(), rows = new Uint32Array(m);
  for (let i = 0; i < n; i++) if (xs[i] !== NO_PLACE) rows[next[at(i)]++] = i;
  return { side, starts, rows };
}

// Marks the rows inside a polygon of places on the map; of two points, inside their rectangle.
function markArea(points, mask) {
  const corners = points.length === 2
    ? [points[0], [points[1][0], points[0][1]], points[1], [points[0][0], points[1][1]]] : points;
  for (let i = 0; i < n; i++) {
    if (xs[i] === NO_PLACE) continue;
    let inside = false;
    for (let a = 0, z = corners.length - 1; a < corners.length; z = a++) {
      const [xa, ya] = corners[a], [xz, yz] = corners[z];
      if (ya > ys[i] !== yz > ys[i] && xs[i] < ((xz - xa) * (ys[i] - ya)) / (yz - ya) + xa) inside = !inside;
    }
    if (inside) mask[i] = 1;
  }
}

let hovered = null, drawnArea = null, near = [];
function drawOver() {
  const f = frame(), scale = Math.min(2, window.devicePixelRatio || 1);
  Object.assign(over, { width: Math.round(f.width * scale), height: Math.round(f.height * scale) });
  const ink = over.getContext("2d");
  ink.scale(scale, scale);
  const ring = (row, radius, colour, wide) => {
    if (xs[row] === NO_PLACE) return;
    const [x, y] = toScreen(row, f);
    for (const [line, stroke] of [[wide + 2.5, css("--paper")], [wide, colour]]) {
      ink.beginPath();
      ink.arc(x, y, radius, 0, 7);
      Object.assign(ink, { lineWidth: line, strokeStyle: stroke });
      ink.stroke();
    }
  };
  for (const row of near) ring(row, 5, css("--accent"), 1.2);
  if (state.current !== null) ring(state.current, 9, css("--accent"), 2.6);
  if (hovered !== null) ring(hovered, 7, css("--ink"), 1.6);
  const area = drawnArea ?? state.filters.get("area")?.points;
  if (area) {
    const corners = area.length === 2 ? [area[0], [area[1][0], area[0][1]], area[1], [area[0][0], area[1][1]]] : area;
    ink.beginPath();
    for (const [x, y] of corners) ink.lineTo(f.x0 + x * f.kx, f.y0 - y * f.ky);
    ink.closePath();
    Object.assign(ink, { lineWidth: 1.5, strokeStyle: css("--accent"), fillStyle: css("--veil") });
    ink.setLineDash([5, 4]);
    ink.fill();
    ink.stroke();
  }
}

// The names of the regions, the largest first, each where no other name stands; finer ones when zoomed in.
function drawNames(f) {
  const box = $("names"), taken = [];
  const which = head.regions[f.zoom >= 2.2 ? 1 : 0] ?? [];
  box.replaceChildren();
  if ($("named").getAttribute("aria-pressed") !== "true") return;
  for (const [number, one] of which.entries()) {
    if (!one.name) continue;
    const x = f.x0 + one.x * f.kx, y = f.y0 - one.y * f.ky, half = 3.3 * one.name.length + 8;
    if (x < half || x > f.width - half || y < 14 || y > f.height - 14) continue;
    if (taken.some(([tx, ty, th]) => Math.abs(tx - x) < th + half && Math.abs(ty - y) < 22)) continue;
    taken.push([x, y, half]);
    const level = f.zoom >= 2.2 ? 1 : 0;
    box.append(make("button", { type: "button", tabIndex: -1, textContent: one.name, title: `${count(one.size, "row")}: click to select them`,
      style: { left: `${x}px`, top: `${y}px` }, onclick: () => selectRegion(level, number) }));
    if (taken.length >= 14) break;
  }
}

function selectRegion(level, number) {
  const c = column(head.region_columns[level]);
  return setFilter(`c${c}`, { kind: "values", column: c, codes: [number] });
}

function zoomBy(factor, px, py) {
  const f = frame(), [mx, my] = toMap(px, py, f), zoom = Math.max(1, Math.min(400, f.zoom * factor));
  if (zoom === 1) state.view = null;
  else {
    const k = zoom / f.zoom;
    state.view = { zoom, x: mx + (f.width / 2 - px) / (f.kx * k), y: my - (f.middle - py) / (f.ky * k) };
  }
  changed("view");
}

function panBy(dx, dy) {
  const f = frame(), { x, y, zoom } = state.view ?? { x: 32767, y: 32767, zoom: 1 };
  if (zoom === 1) return;
  state.view = { zoom, x: x - dx / f.kx, y: y + dy / f.ky };
  changed("view");
}
