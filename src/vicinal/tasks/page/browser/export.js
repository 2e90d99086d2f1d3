// What leaves the page: ids, rows, marks, and the commands that give the same rows.
function save(name, type, parts) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob(parts, { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    say("The browser did not copy it: select the text instead.");
  }
}

let saying = 0;
function say(text, time = 4000) {
  $("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("said").textContent = ""; }, time);
}

const ofData = () => columns.map((one, c) => c).filter((c) => columns[c].role === "field");

// A row as the data set holds it, without embeddings, with its scores after its fields.
async function record(row) {
  const out = {};
  if (head.id < 0 || !ofData().includes(head.id)) out[head.id_name] = await idOf(row);
  for (const c of ofData()) out[columns[c].name] = await cell(c, row);
  for (const [c, one] of columns.entries()) if (one.role === "score") out[one.name in out ? `score ${one.name}` : one.name] = await cell(c, row);
  return out;
}

async function download(what) {
  const rows = await tableRows(), parts = [];
  const cells = (one) => (one === null || one === undefined ? "" : typeof one === "object" ? JSON.stringify(one) : String(one));
  const quoted = (one) => (/[",\r\n]/.test(cells(one)) ? `"${cells(one).replaceAll('"', '""')}"` : cells(one));
  for (const row of rows) {
    if (what === "ids") parts.push(`${await idOf(row)}\n`);
    else if (what === "marks") parts.push(`${JSON.stringify({ id: await idOf(row), row, mark: "keep" })}\n`);
    else {
      const one = await record(row);
      if (what === "csv" && !parts.length) parts.push(`${Object.keys(one).map(quoted).join(",")}\r\n`);
      parts.push(what === "csv" ? `${Object.values(one).map(quoted).join(",")}\r\n` : `${JSON.stringify(one)}\n`);
    }
  }
  const [name, type] = { ids: ["ids.txt", "text/plain"], marks: ["marks.jsonl", "application/jsonl"], jsonl: ["rows.jsonl", "application/jsonl"], csv: ["rows.csv", "text/csv"] }[what];
  save(name, type, parts);
  say(`${count(rows.length, "row")} in ${name}`);
}

// A text in the shell, and a text and a name in a condition of `vicinal filter`.
const inShell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const inCondition = (text) => `"${text.replaceAll('"', '""')}"`;
const RESERVED = new Set(["and", "or", "not", "in", "is", "null", "like", "ilike", "true", "false"]);
const nameOf = (c) => {
  const { name } = columns[c];
  if (columns[c].named === false) return null;
  if (/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name) && !RESERVED.has(name.toLowerCase())) return name;
  return name.includes("`") ? null : `\`${name}\``;
};

// A short number between two neighbouring values, so that it divides them however they are rounded.
function between(low, high) {
  if (!Number.isFinite(low)) low = high - Math.max(1, Math.abs(high));
  if (!Number.isFinite(high)) high = low + Math.max(1, Math.abs(low));
  const middle = low + (high - low) / 2, room = (high - low) / 4;
  for (let digits = 1; digits < 17; digits++) {
    const short = Number(middle.toPrecision(digits));
    if (short > low + room && short < high - room) return short;
  }
  return middle;
}

async function rangeCondition(c, low, high) {
  const name = nameOf(c), [v, order] = await Promise.all([values(c), orderOf(c)]);
  if (name === null) return null;
  let first = 0, last = order.length - 1;
  while (first < order.length && v[order[first]] < low) first++;
  while (last >= 0 && v[order[last]] > high) last--;
  if (first > last) return `(${name} is null and ${name} is not null)`;
  const parts = [];
  if (first > 0) parts.push(`${name} > ${between(v[order[first - 1]], v[order[first]])}`);
  if (last < order.length - 1) parts.push(`${name} < ${between(v[order[last]], v[order[last + 1]])}`);
  return parts.length ? parts.join(" and ") : `${name} is not null`;
}

function valuesCondition(c, codes) {
  const name = nameOf(c), labels = codes.map((code) => columns[c].labels[code]);
  if (name === null) return null;
  const parts = [], there = labels.filter((label) => label !== null);
  for (const label of there.filter((one) => typeof one === "boolean")) parts.push(`${name} = ${label}`);
  const others = there.filter((one) => typeof one !== "boolean").map((one) => (typeof one === "string" ? inCondition(one) : String(one)));
  if (others.length === 1) parts.push(`${name} = ${others[0]}`);
  if (others.length > 1) parts.push(`${name} in (${others.join(", ")})`);
  if (labels.includes(null)) parts.push(`${name} is null`);
  return parts.length > 1 ? `(${parts.join(" or ")})` : parts[0];
}

function textCondition(which, text) {
  const pattern = inCondition(`%${text.replace(/[\\%_]/g, "\\$&")}%`), names = which.map(nameOf);
  if (names.includes(null) || !names.length) return null;
  const parts = names.map((name) => `${name} ilike ${pattern}`);
  return parts.length > 1 ? `(${parts.join(" or ")})` : parts[0];
}

// The condition that the filters are, or null where one of them is none: an area of the map, a group.
async function condition() {
  const parts = [];
  for (const filter of state.filters.values()) {
    const c = filter.column ?? -1;
    if (filter.kind === "area" || filter.kind === "rows" || filter.kind === "cut") return null;
    if (c >= 0 && columns[c].role === "score" && !head.command.scores) return null;
    if (c >= 0 && (columns[c].role === "derived" || (filter.kind === "text" && !isText(columns[c])))) return null;
    const one = filter.kind === "range" ? await rangeCondition(c, filter.low, filter.high)
      : filter.kind === "values" ? valuesCondition(c, filter.codes) : textCondition(c < 0 ? textColumns() : [c], filter.text);
    if (one === null) return null;
    parts.push(one);
  }
  return parts.join(" and ");
}

const dataAndScores = () => [head.command.data, head.command.scores].filter(Boolean).map(inShell).join(" ");
const ending = () => (/\.(csv|parquet|jsonl\.gz)$/i.exec(head.command.data)?.[0] ?? ".jsonl");

function cutCommand(c, end, keep) {
  if (!head.command.data || !head.command.scores) return "";
  const strategy = { low: "highest", high: "lowest", both: "middle" }[end];
  return `vicinal select ${dataAndScores()} --by ${inShell(columns[c].name)} --strategy ${strategy} --keep ${keep} -o chosen${ending()}`;
}

// The command that gives the selected rows, and whether it reads the marks that the page saves.
async function command() {
  if (!head.command.data) return { text: "", marks: false };
  const only = state.filters.size === 1 ? [...state.filters.values()][0] : null;
  if (only?.kind === "cut" && only.kept) return { text: cutCommand(only.column, only.end, state.selected), marks: false };
  const where = state.filters.size ? await condition() : "";
  if (where) return { text: `vicinal filter ${dataAndScores()} --where ${inShell(where)} -o chosen${ending()}`, marks: false };
  if (!state.filters.size || !state.selected) return { text: "", marks: false };
  return { text: `vicinal select ${inShell(head.command.data)} --marks marks.jsonl --keep ${state.selected} --strategy random -o chosen${ending()}`, marks: true };
}

async function drawExport() {
  const { text, marks } = await command();
  $("command").textContent = text || (head.command.data ? "Select rows first." : "The rows come from no single file: download their ids.");
  $("copy").disabled = !text;
  $("save-marks").hidden = !marks;
  $("command-note").textContent = marks ? "These rows meet no condition: save the marks beside the data first." : text ? "Run where the page was made, it gives the same rows." : "";
  $("many").textContent = count(state.selected, "row");
}

function startExport() {
  for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", () => download(button.dataset.save));
  $("copy").addEventListener("click", () => copy($("command").textContent));
  $("export").addEventListener("toggle", () => { if ($("export").open) drawExport(); });
  on("filters", () => ($("export").open ? drawExport() : null));
  document.addEventListener("pointerdown", (event) => { if (!$("export").contains(event.target)) $("export").open = false; });
}
