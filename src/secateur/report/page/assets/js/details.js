// Where a cell comes from: its runs, command, versions and settings, in a dialog.
function openDetails(id) {
  const cell = DATA.cells[id], dialog = byId("details");
  const close = make("button", { type: "button", class: "quiet", text: "Close", onclick: () => dialog.close() });
  dialog.classList.remove("large");
  dialog.replaceChildren(
    make("div", { class: "head" }, [
      make("div", {}, [make("h2", { id: "details-title", text: cell.title }), make("p", { class: "hint", text: cell.table })]), close,
    ]),
    make("div", { class: "body" }, [
      pairs(cell.facts),
      ...(cell.warnings.length ? [make("h3", { text: "Warnings of its runs" }), make("ul", {}, cell.warnings.map((text) => make("li", { text })))] : []),
      make("h3", { text: cell.commands.length > 1 ? "Commands" : "Command" }),
      ...cell.commands.flatMap((number) => [
        DATA.sweeps[number] ? make("p", { class: "hint", text: `sweep of ${DATA.sweeps[number]} runs, this cell's among them` }) : null,
        command(DATA.commands[number]),
      ]),
      make("h3", { text: `Runs (${cell.runs.length})` }),
      scrolling("Runs of this cell", runTable(cell.runs)),
      ...settings(cell),
      make("h3", { text: "Versions and machine" }),
      ...cell.environments.map((key) => pairs(Object.entries(DATA.environments[key] || {}))),
    ]),
  );
  openDialog(dialog, close);
}

// Back closes the dialog: opening it is a step of its own, unless the last step was one already.
function openDialog(dialog, close) {
  if (!dialog.open) dialog.showModal();
  if (!history.state?.dialog) history.pushState({ dialog: true }, "");
  dialog.scrollTop = 0;
  close.focus();
}

// A figure at a size at which its words can be read.
function enlarge(picture) {
  const dialog = byId("details"), image = picture.querySelector("img");
  const close = make("button", { type: "button", class: "quiet", text: "Close", onclick: () => dialog.close() });
  const large = make("img", { src: image.src, alt: image.alt, width: Math.round(image.naturalWidth * 1.4) });
  dialog.classList.add("large");
  dialog.replaceChildren(
    make("div", { class: "head" }, [make("h2", { id: "details-title", text: picture.querySelector("strong").textContent }), close]),
    make("div", { class: "body" }, [make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figure" }, [large])]),
  );
  openDialog(dialog, close);
}

const words = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const pairs = (entries) => make("dl", {}, entries.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: words(value) })]));
const scrolling = (label, child) => make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, [child]);

function runTable(runs) {
  const headers = ["seed", "score seed", "accuracy", "cost", "folder"];
  const number = (column) => (column < 4 ? "number" : null);
  return make("table", {}, [
    make("thead", {}, [make("tr", {}, headers.map((text, column) => make("th", { scope: "col", class: number(column), text })))]),
    make("tbody", {}, runs.map((run) => make("tr", {}, run.map((text, column) => make("td", { class: number(column) }, [column < 4 ? document.createTextNode(text) : make("code", { text })]))))),
  ]);
}

// The settings of a cell; where its runs differ (by a seed, say) all their values.
function settings(cell) {
  const each = cell.settings.map((key) => ({ ...DATA.usual, ...DATA.settings[key] }));
  const names = [...new Set(each.flatMap(Object.keys))].sort();
  const said = names.map((name) => [name, [...new Set(each.map((one) => words(one[name] ?? null)))].join(" | ")]).filter(([, value]) => value !== "null");
  const varying = new Set(DATA.varying);
  const own = said.filter(([name]) => varying.has(name));
  const listed = (title, open, child) => make("details", { open }, [make("summary", { text: title }), child]);
  return [
    make("h3", { text: "Settings" }),
    ...(own.length ? [listed(`${own.length} that are not the same in all runs of this report`, own.length <= 12, pairs(own))] : []),
    listed(`All ${said.length}, as recorded (null left out)`, false, make("pre", { text: said.map(([name, value]) => `${name}: ${value}`).join("\n") })),
  ];
}

function command(text) {
  const button = make("button", { type: "button", class: "quiet", text: "Copy", "aria-label": "Copy the command" });
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text)) ? "Copied" : "Select and copy it";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return make("div", { class: "command" }, [make("pre", { text }), button]);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.more");
  if (button) openDetails(button.dataset.cell);
  const larger = event.target.closest("button.enlarge");
  if (larger) enlarge(larger.closest("figure"));
  if (event.target === byId("details")) byId("details").close(); // beside the dialog
});
window.addEventListener("popstate", () => byId("details").close());
