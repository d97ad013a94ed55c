// Tables that sort by any column and filter by any text.
// A column: {title, get(row) -> value to sort by, show(row) -> text or nodes, kind: "number" | "text" | "wide"}.
function makeTable({ caption, columns, rows, filters = null, detail = null, first = null, tall = false }) {
  let sorted = first ?? { column: null, down: false };
  const body = el("tbody");
  const state = { text: "", chosen: {} };
  const opened = new Set();
  const display = (column, row) => (column.show ? column.show(row) : column.kind === "number" ? shown(column.get(row)) : column.get(row));
  const searchable = new Map(rows.map((row) => [row, columns.map((column) => {
    const made = display(column, row);
    return made instanceof Node ? made.textContent : Array.isArray(made) ? made.map((part) => part.textContent ?? part).join(" ") : made ?? "";
  }).join(" ").toLowerCase()]));
  const compare = (a, b) => {
    const [x, y] = [columns[sorted.column].get(a), columns[sorted.column].get(b)];
    const [noX, noY] = [x === null || x === undefined, y === null || y === undefined];
    if (noX || noY) return noX - noY;
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return sorted.down ? -order : order;
  };
  const heads = columns.map((column, index) => {
    const button = el("button", { type: "button", on: { click: () => {
      sorted = { column: index, down: sorted.column === index ? !sorted.down : column.kind === "number" };
      refresh();
      announce(`Sorted by ${column.title}, ${sorted.down ? "descending" : "ascending"}`);
    } } }, column.title);
    return el("th", { scope: "col", class: column.kind === "number" ? "number" : null, title: column.hint }, button);
  });
  const count = el("span", { class: "quiet", role: "status" });
  function refresh() {
    heads.forEach((head, index) => head.setAttribute("aria-sort",
      index !== sorted.column ? "none" : sorted.down ? "descending" : "ascending"));
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => words.every((word) => searchable.get(row).includes(word))
      && (filters?.choices ?? []).every(({ title, get }) => !state.chosen[title] || get(row) === state.chosen[title]));
    if (sorted.column !== null) kept.sort(compare);
    body.replaceChildren(...kept.flatMap((row) => lines(row)));
    count.textContent = kept.length === rows.length ? plural(rows.length, filters?.noun ?? "row") : `${whole.format(kept.length)} of ${plural(rows.length, filters?.noun ?? "row")}`;
  }
  function lines(row) {
    const cells = columns.map((column, index) => {
      const made = display(column, row);
      const kind = column.kind === "number" ? "number" : column.kind === "wide" ? "text wide" : column.kind === "short" ? "status" : "text";
      return index === 0 ? el("th", { scope: "row", class: kind }, made) : el("td", { class: kind }, made);
    });
    if (!detail) return [el("tr", {}, cells)];
    const isOpen = opened.has(row);
    cells.splice(1, 0, el("td", {}, el("button", { type: "button", "aria-expanded": String(isOpen), on: { click: (event) => {
      if (isOpen) opened.delete(row); else opened.add(row);
      const at = [...body.querySelectorAll("button[aria-expanded]")].indexOf(event.currentTarget);
      refresh();
      body.querySelectorAll("button[aria-expanded]")[at]?.focus();
    } } }, isOpen ? "Close" : "Open", el("span", { class: "hidden" }, ` details of ${detail.name(row)}`))));
    const line = el("tr", {}, cells);
    return isOpen ? [line, el("tr", {}, el("td", { colspan: columns.length + 1 }, detail.show(row)))] : [line];
  }
  const controls = el("div", { class: "controls" });
  if (filters) {
    controls.append(el("label", {}, "Filter ", el("input", { type: "search", placeholder: filters.hint, on: { input: (event) => { state.text = event.target.value; refresh(); } } })));
    for (const { title, get } of filters.choices ?? []) {
      const values = [...new Set(rows.map(get))].sort();
      if (values.length < 2) continue;
      controls.append(el("label", {}, `${title} `, el("select", { on: { change: (event) => { state.chosen[title] = event.target.value; refresh(); } } },
        el("option", { value: "" }, "all"), values.map((value) => el("option", { value }, value)))));
    }
    controls.append(count);
  }
  refresh();
  const head = el("tr", {}, heads);
  if (detail) heads[0].after(el("th", { scope: "col" }, el("span", { class: "hidden" }, "Details")));
  return el("div", {}, filters ? controls : null, el("div", { class: tall ? "scroll tall" : "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, el("span", {}, caption)), el("thead", {}, head), body)));
}
