// What a server adds to the page: the nearest rows of a sentence as it is typed, and marks that are kept in a file.
const asked = async (path, body, signal) => {
  const answer = await fetch(path, body === undefined ? { signal } : { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? answer.statusText);
  return found;
};

let searching = null;
async function searchText(text) {
  searching?.abort();
  searching = new AbortController();
  if (!text.trim()) { await setFilter("search", null); return; }
  say("Searching …");
  if (head.no_search) { say(head.no_search, 15000); return; }
  let found;
  try { found = await asked("search", { text }, searching.signal); } catch (error) {
    if (error.name !== "AbortError") say(error.message, 15000);
    return;
  }
  say("");
  head.found.search = found;
  chosen.search = null;
  near = found.slice(0, 10).map((one) => one.row);
  $("tab-search").hidden = false;
  state.tab = "search";
  await setFilter("search", { kind: "rows", rows: found.map((one) => one.row), said: `nearest to “${text}”` });
  await changed("tab");
  drawOver();
}

const drawSearch = () => records("search", "the nearest rows of the sentence, nearest first", (one) => shown(one.distance), (one) => sideBySide(head.found.search[0].row, one.row, "Beside the nearest:"));

async function neighboursOfText(row) {
  const text = (await Promise.all(head.preview.map((c) => cell(c, row)))).map(asText).join(" ").slice(0, 20000);
  $("ask").value = text.slice(0, 300);
  return searchText(text);
}

// The buttons of a sample's marks.
window.vicinalMarks = (row) => {
  const own = state.marks.get(row) ?? {};
  const button = (name, mark, key) => make("button", { type: "button", textContent: name, title: key, ariaPressed: String(own.mark === mark), data: { mark }, onclick: () => markRow(row, { mark: own.mark === mark ? null : mark }) });
  const label = make("input", { id: "mark-label", placeholder: "label", ariaLabel: "label of the sample", value: own.label ?? "", maxLength: 500 });
  label.addEventListener("change", () => markRow(row, { label: label.value || null }));
  return [button("Keep", "keep", "y"), button("Drop", "drop", "x"), label, make("button", { type: "button", textContent: "Nearest by text", title: "The nearest rows of its text", onclick: () => neighboursOfText(row) })];
};

async function markRow(row, mark) {
  try {
    const own = await asked("marks", { row, ...mark });
    if (Object.keys(own).length) state.marks.set(row, own);
    else state.marks.delete(row);
  } catch (error) {
    say(error.message, 15000);
  }
  drawMarks();
  if (state.current === row) await drawCard();
}

function drawMarks() {
  const rows = (name) => [...state.marks].filter(([, own]) => (name === "label" ? own.label !== undefined : own.mark === name)).map(([row]) => row);
  $("marked").replaceChildren(...[["keep", "keep"], ["drop", "drop"], ["label", "labelled"]].map(([name, word]) => [name, word, rows(name)]).filter(([, , found]) => found.length)
    .map(([name, word, found]) => make("button", { type: "button", title: "Select them", data: { marked: name }, textContent: `${word} ${found.length.toLocaleString("en")}`,
      onclick: () => setFilter("marks", { kind: "rows", rows: found.sort((a, b) => a - b), said: `marked ${word}` }) })));
}

async function startExplore() {
  const ask = make("input", { id: "ask", type: "search", placeholder: "Nearest to a sentence", ariaLabel: "find the nearest rows of a sentence" });
  if (head.no_search) { // the whole remedy is longer than the field
    Object.assign(ask, { disabled: true, title: head.no_search, placeholder: "Needs --model" });
    say(head.no_search, 15000);
  }
  $("extra").append(ask, make("span", { id: "marked" }));
  typing(ask, searchText);
  $("tabs").append(make("button", { type: "button", role: "tab", id: "tab-search", textContent: "Search", data: { tab: "search" }, ariaSelected: "false", hidden: true, onclick: () => openTab("search") }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || state.current === null || document.querySelector("dialog[open]")) return;
    if (["INPUT", "SELECT"].includes(document.activeElement.tagName)) return;
    const mark = { y: "keep", x: "drop", u: null }[event.key];
    if (mark !== undefined) markRow(state.current, { mark });
    if (event.key === "l") { event.preventDefault(); $("mark-label").focus(); }
  });
  const { marks, path } = await asked("marks");
  for (const { row, ...own } of marks) state.marks.set(row, own);
  $("marked").title = `kept in ${path}`;
  drawMarks();
}
