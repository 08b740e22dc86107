// The table: sorted by its headers, filtered by words and by facets.
(function () {
  const table = byId("table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const filters = byId("filters");
  const facets = [...filters.querySelectorAll("select[data-facet]")];

  const key = (row, column) => row.cells[column].dataset.sort;

  function compare(a, b, numeric) {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? 2 : -2; // ±2: unknown comes last in either direction
    return numeric ? Math.sign(a - b) : Math.sign(a.localeCompare(b));
  }

  const firsts = rows.filter((row) => row.classList.contains("first"));

  function unsort() {
    for (const header of headers) header.setAttribute("aria-sort", "none");
    for (const row of firsts) row.classList.add("first");
    body.append(...rows);
  }

  function sort(column) {
    const header = headers[column];
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of headers) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const numeric = rows.every((row) => key(row, column) === "" || !Number.isNaN(Number(key(row, column))));
    const sorted = [...rows].sort((a, b) => {
      const order = compare(key(a, column), key(b, column), numeric);
      return Math.abs(order) === 2 || ascending ? order : -order;
    });
    for (const row of sorted) row.classList.remove("first");
    body.append(...sorted);
  }

  function matches(row, words) {
    if (!words.every((word) => row.dataset.search.includes(word))) return false;
    return facets.every(({ value, dataset }) => {
      if (!value) return true;
      if (dataset.facet !== "states") return row.dataset[dataset.facet] === value;
      return value === "none" ? !row.dataset.states : row.dataset.states.split("|").includes(value);
    });
  }

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !matches(row, words);
      shown += !row.hidden;
    }
    byId("count").textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  }

  headers.forEach((header, column) => {
    if (header.hasAttribute("aria-sort")) header.querySelector("button").addEventListener("click", () => sort(column));
  });
  filters.addEventListener("input", filter);
  filters.addEventListener("reset", () => { unsort(); setTimeout(filter); });
  filters.addEventListener("submit", (event) => event.preventDefault());
})();
