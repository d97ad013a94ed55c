// Slices of a sweep: the result of each run against one setting, and the importance of settings.
const VALUE = "abs(datum.value) >= 10000 ? format(datum.value, '~s') : datum.value !== 0 && abs(datum.value) < 0.0001 ? format(datum.value, '~e') : format(datum.value, '~g')";
class SliceChart {
  constructor(env, setting) {
    Object.assign(this, { env, setting, stale: true });
    this.algos = [...new Set(content.runs.map((run) => run.algo))];
    this.plot = el("div", { class: "plot slice", role: "img" }, el("span", { class: "waiting" }, "…"));
    this.table = el("div");
    this.figure = el("figure", {}, el("figcaption", {}, el("strong", {}, setting.key), el("span", { class: "quiet" }, content.metrics[env.sweep.metric].title)), this.plot,
      el("details", { on: { toggle: () => this.fillTable() } }, el("summary", {}, "Table", el("span", { class: "hidden" }, ` of ${setting.key}`)), this.table));
    const middles = this.middles();
    const first = middles.slice(0, 12).map(([value, middle]) => `${value}: ${shown(middle)}`).join("; ");
    this.plot.setAttribute("aria-label", `${content.metrics[env.sweep.metric].title} of ${plural(setting.points.length, "run")} by ${setting.key}. Medians: ${first}.`);
  }
  middles() {
    const groups = new Map();
    for (const [, value, outcome] of this.setting.points) groups.set(value, [...(groups.get(value) ?? []), outcome]);
    const median = (list) => { const s = [...list].sort((a, b) => a - b); const half = s.length >> 1; return s.length % 2 ? s[half] : (s[half - 1] + s[half]) / 2; };
    return [...groups].map(([value, list]) => [value, median(list)]).sort((a, b) => (typeof a[0] === "number" && typeof b[0] === "number" ? a[0] - b[0] : String(a[0]).localeCompare(String(b[0]), "en", { numeric: true })));
  }
  spec() {
    const { kind, points } = this.setting;
    const middles = this.middles();
    const numbers = points.map(([, value]) => value);
    const log = kind === "number" && Math.min(...numbers) > 0 && Math.max(...numbers) >= 10 * Math.min(...numbers);
    const few = kind === "number" && middles.length <= 6;
    const x = kind === "number"
      ? { field: "x", type: "quantitative", scale: log ? { type: "log", nice: false, padding: 14 } : { zero: false, nice: false, padding: 14 }, axis: { title: null, labelExpr: VALUE, labelOverlap: "greedy", tickCount: 5, ...(few ? { values: middles.map(([value]) => value) } : {}) } }
      : { field: "x", type: "nominal", sort: null, axis: { title: null, labelAngle: 0, labelLimit: 110 } };
    const y = { field: "y", type: "quantitative", scale: { zero: false }, axis: { title: null, tickCount: 5 } };
    const line = kind === "number" ? [{ data: { values: middles.map(([value, middle]) => ({ x: value, y: middle })) }, name: "middle_line", mark: { type: "line", strokeWidth: 1.3 }, encoding: { x, y } }] : [];
    const ticks = { data: { values: middles.map(([value, middle]) => ({ x: value, y: middle })) }, name: "middle_bar", mark: { type: "point", shape: "stroke", size: 420, strokeWidth: 2, opacity: 1 }, encoding: { x, y } };
    const dots = { data: { values: points.map(([run, value, outcome]) => ({ x: value, y: outcome, a: this.algos.indexOf(content.runs[run].algo), r: run })) },
      mark: { type: "circle", size: 46, opacity: 0.75 }, encoding: { x, y, color: { field: "a", type: "nominal", legend: null, scale: { domain: this.algos.map((_, place) => place), range: this.algos.map((_, place) => COLOURS[place % COLOURS.length]) } } } };
    return { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", height: "container", autosize: { type: "fit", contains: "padding" },
      padding: { left: 2, right: 8, top: 8, bottom: 2 }, config: CONFIG, layer: [...line, dots, ticks] };
  }
  async draw() {
    if (!this.stale) return;
    this.stale = false;
    const { view } = await embed(this.plot, this.spec());
    this.plot.querySelector(".waiting")?.remove();
    this.figure.classList.add("drawn");
    view.addEventListener("pointermove", (event, item) => {
      const run = item?.datum?.r;
      if (run === undefined) { hideTip(); return; }
      showTip(event, [el("div", {}, el("span", {}, content.runs[run].name), el("b", {}, shown(item.datum.y))), el("div", { class: "quiet" }, `${this.setting.key}=${item.datum.x}`)]);
    });
    this.plot.addEventListener("pointerleave", hideTip);
  }
  fillTable() {
    if (this.table.childNodes.length) return;
    this.table.append(makeTable({ caption: `${content.metrics[this.env.sweep.metric].title} by ${this.setting.key}`, tall: true, rows: this.setting.points, columns: [
      { title: this.setting.key, kind: this.setting.kind === "number" ? "number" : "text", get: (row) => row[1], show: (row) => String(row[1]) },
      { title: "Result", kind: "number", get: (row) => row[2] }, { title: "Run", get: (row) => content.runs[row[0]].name }] }));
  }
}

function importanceTable(env) {
  const bar = (share, text) => el("span", { class: "share" }, el("span", { class: "quiet" }, text), svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: "meter", "aria-hidden": "true" },
    svg("path", { d: `M0 0H${Math.round(Math.min(Math.abs(share), 1) * 100)}V8H0Z`, fill: "currentColor" })));
  const signed = (one) => (one.kind === "number" && one.correlation > 0 ? `+${one.correlation.toFixed(2)}` : one.correlation.toFixed(2));
  return makeTable({ caption: `Settings that differ in ${env.id}, against ${content.metrics[env.sweep.metric].title.toLowerCase()}`, rows: env.sweep.settings, columns: [
    { title: "Setting", get: (one) => one.key },
    { title: "Kind", kind: "short", get: (one) => one.kind },
    { title: "Importance", get: (one) => one.share, show: (one) => bar(one.share, one.share.toFixed(2)) },
    { title: "Rank correlation", get: (one) => (one.correlation === null ? null : Math.abs(one.correlation)), show: (one) => (one.correlation === null ? "–" : bar(one.correlation, signed(one))) },
    { title: "Runs", kind: "number", get: (one) => one.points.length }] });
}
