// What lies packed in the page, unpacked when it is first needed: typed arrays, and blocks of values as JSON.
const $ = (id) => document.getElementById(id);
const head = JSON.parse($("head").textContent);
const n = head.n, BLOCK = head.block;
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
const OFFSET = 40, REPLACED = 60, BY = 33; // the characters of packing.py

const count = (x, word) => `${x.toLocaleString("en")} ${word}${x === 1 ? "" : "s"}`;
const shown = (x) => (Number.isInteger(x) ? x.toLocaleString("en") : Number.isFinite(x) ? String(Number(x.toPrecision(4))) : "none");

// Elements with properties and children. Texts of the data only ever become text nodes.
function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "style") Object.assign(made.style, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

async function unpack(name) {
  const element = $(name);
  const text = element.textContent, size = Number(element.dataset.size);
  const words = new Uint32Array(text.length / 5);
  for (let i = 0, at = 0; i < words.length; i++, at += 5) {
    let word = 0;
    for (let j = 4; j >= 0; j--) {
      const code = text.charCodeAt(at + j);
      word = word * 85 + (code === BY ? REPLACED : code) - OFFSET;
    }
    words[i] = word;
  }
  const bytes = new Uint8Array(words.buffer, 0, size);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function merged(bytes, type) {
  const Type = ARRAYS[type], width = Type.BYTES_PER_ELEMENT, length = bytes.length / width;
  if (width === 1) return bytes;
  const whole = new Uint8Array(bytes.length);
  for (let plane = 0; plane < width; plane++) {
    const from = plane * length;
    for (let i = 0, to = plane; i < length; i++, to += width) whole[to] = bytes[from + i];
  }
  return new Type(whole.buffer);
}

const kept = new Map(); // parts by name; of blocks the last ones used
const KEPT_BLOCKS = 96;

function part(name, make) {
  let found = kept.get(name);
  if (found === undefined) found = make();
  kept.delete(name);
  kept.set(name, found);
  return found;
}
const array = (name, type) => part(name, () => unpack(name).then((bytes) => merged(bytes, type)));

// A part that is one of many; the least recently used ones are forgotten.
const blocks = new Map();
function block(name, read) {
  let found = blocks.get(name);
  if (found === undefined) found = unpack(name).then(read);
  blocks.delete(name);
  blocks.set(name, found);
  if (blocks.size > KEPT_BLOCKS) blocks.delete(blocks.keys().next().value);
  return found;
}
const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

const columns = head.columns;
const column = (name) => columns.findIndex((one) => one.name === name);
// The values of a column of numbers, or the codes of a category.
const values = (c) => array(`c${c}`, columns[c].type);
const labelsOf = (c) => columns[c].labels;
const labelName = (label) => (label === null ? "(none)" : label === "" ? "(empty)" : String(label));

async function blockOf(c, at) {
  return block(`c${c}.${at}`, json);
}

// The value of a row as it was written: a number, a text, what JSON holds, or null.
async function cell(c, row) {
  const one = columns[c];
  if (one.kind === "text") return (await blockOf(c, Math.floor(row / BLOCK)))[row % BLOCK];
  const value = (await values(c))[row];
  if (one.kind === "category") return one.labels[value];
  return Number.isNaN(value) ? null : value;
}

async function idOf(row) {
  return head.id < 0 ? row : cell(head.id, row);
}

const asText = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value, null, 1) : String(value));

// The first lines of a row, from the fields that are read first.
async function preview(row, longest = 240) {
  const parts = [];
  for (const c of head.preview) {
    const text = asText(await cell(c, row)).replace(/\s+/g, " ").trim();
    if (text) parts.push(text);
    if (parts.join(" | ").length >= longest) break;
  }
  const whole = parts.join(" | ");
  return whole.length > longest ? `${whole.slice(0, longest)}…` : whole;
}

async function neighboursOf(row) {
  const at = Math.floor(row / BLOCK), k = head.k_shown;
  const [rows, far] = await Promise.all([
    block(`rows.${at}`, (bytes) => merged(bytes, "i4")), block(`far.${at}`, (bytes) => merged(bytes, "f4"))]);
  const found = [];
  for (let j = (row % BLOCK) * k; j < (row % BLOCK + 1) * k; j++) if (rows[j] >= 0) found.push([rows[j], far[j]]);
  return found;
}

// The rows with a finite value, lowest first; of equal ones the lower row first. A radix sort of the bits.
const orders = new Map();
function orderOf(c) {
  if (!orders.has(c)) orders.set(c, values(c).then(sorted));
  return orders.get(c);
}

function sorted(v) {
  const wide = Float64Array.from(v), bits = new Uint32Array(wide.buffer);
  let from = new Uint32Array(v.length), to = new Uint32Array(v.length), m = 0;
  const low = new Uint32Array(v.length), high = new Uint32Array(v.length);
  for (let i = 0; i < v.length; i++) {
    if (!Number.isFinite(wide[i])) continue;
    if (wide[i] === 0) wide[i] = 0; // -0 is 0
    const top = bits[2 * i + 1], negative = top >>> 31;
    low[i] = negative ? ~bits[2 * i] : bits[2 * i];
    high[i] = negative ? ~top : top | 0x80000000;
    from[m++] = i;
  }
  for (const [word, shift] of [[low, 0], [low, 16], [high, 0], [high, 16]]) {
    const counts = new Uint32Array(65537);
    for (let j = 0; j < m; j++) counts[((word[from[j]] >>> shift) & 65535) + 1]++;
    if (m && counts[((word[from[0]] >>> shift) & 65535) + 1] === m) continue;
    for (let b = 0; b < 65536; b++) counts[b + 1] += counts[b];
    for (let j = 0; j < m; j++) to[counts[(word[from[j]] >>> shift) & 65535]++] = from[j];
    [from, to] = [to, from];
  }
  return from.subarray(0, m);
}

// The same, highest first; rows of equal values keep their order.
function downwards(order, v) {
  const down = new Uint32Array(order.length);
  for (let end = order.length, filled = 0; end > 0;) {
    let begin = end - 1;
    while (begin > 0 && v[order[begin - 1]] === v[order[begin]]) begin--;
    down.set(order.subarray(begin, end), filled);
    filled += end - begin;
    end = begin;
  }
  return down;
}

// Rows by how far their rank is from the middle, nearest first, as `vicinal select --strategy middle`.
function fromMiddle(order, v) {
  const m = order.length, far = new Float64Array(v.length);
  for (let i = 0; i < m;) {
    let end = i;
    while (end < m && v[order[end]] === v[order[i]]) end++;
    for (let j = i; j < end; j++) far[order[j]] = Math.abs(i + end - m);
    i = end;
  }
  const all = Float64Array.from(v, (_, i) => NaN);
  for (const row of order) all[row] = far[row];
  return sorted(all);
}

// How the values of a column of numbers are drawn: between two quantiles, or by rank where the tail is heavy.
const spreads = new Map();
function spreadOf(c) {
  if (!spreads.has(c)) {
    spreads.set(c, Promise.all([values(c), orderOf(c)]).then(([v, order]) => {
      const m = order.length;
      if (!m) return { low: 0, high: 1, least: 0, most: 1, heavy: false, beyond: 0, empty: true };
      const at = (q) => v[order[Math.min(m - 1, Math.floor(q * m))]];
      const least = v[order[0]], most = v[order[m - 1]], inner = at(0.99) - at(0.01);
      // The tail may hold more than a percent: the widest part is drawn that is no tail of the part within it.
      const ends = [0.99, 0.97, 0.95, 0.9, 0.85, 0.8], widths = ends.map((q) => at(q) - at(1 - q));
      let own = ends.length;
      while (own > 0 && widths[own - 1] <= 8 * (own < ends.length ? widths[own] : at(0.75) - at(0.25))) own--;
      const end = ends[own], cut = own > 0 && end !== undefined && widths[own] > 0;
      const heavy = cut || (most - least > 8 * inner && inner > 0);
      const low = heavy ? at(cut ? 1 - end : 0.01) : least, high = heavy ? at(cut ? end : 0.99) : most;
      let beyond = 0;
      if (heavy) for (let i = 0; i < v.length; i++) if (v[i] < low || v[i] > high) beyond++;
      return { low, high, least, most, heavy, beyond, q01: at(0.01), q99: at(0.99), empty: false };
    }));
  }
  return spreads.get(c);
}
