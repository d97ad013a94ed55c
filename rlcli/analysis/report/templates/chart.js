// Line charts of one metric in one environment: curves of groups with their bands, or a line per run.
// All charts of an environment share the cursor and the zoom along x.
const COLOURS = ["#2a78d6", "#d0600c", "#12906b", "#c2459b", "#94721a", "#7b61d1", "#1a8aab", "#6f7782"];
const DASHES = [[], [7, 3], [2, 2.5], [8, 3, 2, 3]];
const AXIS = { steps: "Environment steps", seconds: "Training time in seconds" };
const MOST = 8;
const style = (place) => ({ colour: COLOURS[place % COLOURS.length], dash: DASHES[Math.floor(place / 4) % DASHES.length] });
function swatch(place) {
  const { colour, dash } = style(place);
  return svg("svg", { class: "swatch", viewBox: "0 0 28 10", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 28, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") || null }));
}

const parsed = new Map();
function block(name) {
  if (!parsed.has(name)) parsed.set(name, JSON.parse(byId(name).textContent));
  return parsed.get(name);
}
function nearest(xs, x) {
  let [low, high] = [0, xs.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1; else high = middle;
  }
  return low > 0 && Math.abs(xs[low - 1] - x) <= Math.abs(xs[low] - x) ? low - 1 : low;
}

// The curves and lines that a chart draws in the present state of its environment.
function seriesOf(panel, metric) {
  const data = block(panel.env.charts[metric]);
  const { axis, mode } = panel.state;
  const found = [];
  for (const number of panel.env.groups) {
    const group = content.groups[number];
    if (!panel.state.visible.has(number)) continue;
    const curve = mode === "groups" ? data.curves[number]?.[axis] : undefined;
    if (curve) found.push({ label: group.label, group: number, x: curve.x, y: curve.centre, band: curve, count: curve.count });
    else for (const run of group.runs) {
      const line = data.runs[run];
      if (!line || !line[axis].some((x) => x !== null)) continue;
      const label = group.runs.length === 1 ? group.label : `${group.label}, seed ${content.runs[run].seed}`;
      found.push({ label, group: number, run, x: line[axis], y: line.y });
    }
  }
  return found;
}
function alertsOf(panel, metric) {
  const data = block(panel.env.charts[metric]);
  return Object.entries(data.alerts).filter(([run]) => panel.state.visible.has(content.runs[run].group)).flatMap(([run, mark]) =>
    mark.y.map((y, place) => ({ x: mark[panel.state.axis][place], y, rule: mark.rule, run: Number(run), count: mark.count })))
    .filter((mark) => mark.x !== null);
}

const POWER = "datum.value >= 0.001 && datum.value < 10000 ? format(datum.value, '~g') : format(datum.value, '.0e')";
const STEPS = "datum.value === 0 ? '0' : format(datum.value, '~s')";
const CONFIG = {
  aria: false, background: null, view: { stroke: null },
  axis: { titleFontWeight: "normal", titleFontSize: 12, labelFontSize: 12, titlePadding: 6, labelPadding: 4, tickSize: 4 },
  axisX: { grid: false, labelFlush: true, labelOverlap: true }, axisY: { grid: true, domain: false, ticks: false, minExtent: 34 },
};
function scaleOf(metric) {
  const { scale, domain } = content.metrics[metric];
  if (!scale) return { scale: { zero: false, nice: true }, floor: -Infinity, axis: { tickCount: 5 } };
  if (scale === "log") {
    const [low, high] = domain.map((end) => Math.round(Math.log10(end)));
    const step = Math.max(1, Math.ceil((high - low) / 5));
    const values = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, place) => 10 ** (low + place * step));
    return { scale: { type: "log", domain, nice: false, clamp: true }, floor: domain[0], axis: { values, labelExpr: POWER } };
  }
  if (scale === "symlog") {
    const values = [1, 0, -1, -10, -100, -1e3, -1e4, -1e5, -1e6].filter((value) => value >= domain[0]);
    return { scale: { type: "symlog", constant: 1, domain, nice: false }, floor: -Infinity, axis: { values, format: "~s" } };
  }
  return { scale: { domain, nice: false }, floor: -Infinity, axis: { tickCount: 5 } };
}

function lineSpec(panel, metric, series, marks, extent) {
  const { scale, floor, axis: yAxis } = scaleOf(metric);
  const up = (value) => (value === null ? null : Math.max(value, floor));
  const lines = [];
  const bands = [];
  series.forEach((one, key) => one.x.forEach((x, place) => {
    if (x === null) return;
    lines.push({ s: key, g: one.group, x, y: up(one.y[place]) });
    if (one.band) bands.push({ s: key, g: one.group, x, a: up(one.band.low[place]), b: up(one.band.high[place]), c: up(one.band.lowest[place]), d: up(one.band.highest[place]) });
  }));
  const groups = [...new Set(series.map((one) => one.group))];
  const styles = groups.map((number) => style(panel.place(number)));
  const x = { field: "x", type: "quantitative", axis: { title: AXIS[panel.state.axis], tickCount: 5, labelExpr: STEPS },
    scale: { domainMin: { expr: "lo" }, domainMax: { expr: "hi" }, nice: false, zero: false } };
  const y = (field) => ({ field, type: "quantitative", scale, axis: { title: null, ...yAxis } });
  const color = { field: "g", type: "nominal", legend: null, scale: { domain: groups, range: styles.map((one) => one.colour) } };
  const area = (opacity) => ({ type: "area", clip: true, opacity, line: false });
  const layer = [];
  if (bands.length && panel.state.range) layer.push({ data: { values: bands }, mark: area(0.1), encoding: { x, y: y("c"), y2: { field: "d" }, color, detail: { field: "s" } } });
  if (bands.length) layer.push({ data: { values: bands }, mark: area(0.24), encoding: { x, y: y("a"), y2: { field: "b" }, color, detail: { field: "s" } } });
  const limit = content.rules.find((rule) => rule.metric === metric)?.limit ?? null;
  if (limit !== null) layer.push({ data: { values: [{ y: limit }] }, name: "limit", mark: { type: "rule", clip: true, strokeDash: [3, 3], strokeWidth: 1.2 }, encoding: { y: y("y") } });
  layer.push({ data: { values: lines }, mark: { type: "line", clip: true, strokeWidth: series.length > 24 ? 1 : 1.8, strokeJoin: "round", opacity: series.length > 24 ? 0.7 : 1 },
    encoding: { x, y: y("y"), color, detail: { field: "s" }, strokeDash: { field: "g", type: "nominal", legend: null, scale: { domain: groups, range: styles.map((one) => (one.dash.length ? one.dash : [1, 0])) } } } });
  const single = lines.length <= 60 ? lines : lines.filter((one, place) => lines[place - 1]?.s !== one.s && lines[place + 1]?.s !== one.s);
  if (single.length) layer.push({ data: { values: single }, mark: { type: "circle", clip: true, size: 22, opacity: 1 }, encoding: { x, y: y("y"), color } });
  if (marks.length) layer.push({ data: { values: marks.map((mark) => ({ x: mark.x, y: up(mark.y) })) }, name: "alerts", mark: { type: "point", shape: "triangle-up", filled: true, size: 52, opacity: 1, strokeWidth: 0.8, clip: true }, encoding: { x, y: y("y") } });
  return { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", height: "container", autosize: { type: "fit", contains: "padding" },
    padding: { left: 2, right: 8, top: 8, bottom: 2 }, config: CONFIG, params: [{ name: "lo", value: extent[0] }, { name: "hi", value: extent[1] }], layer };
}

async function embed(place, spec) {
  const drawing = el("div", { class: "drawing", "aria-hidden": "true" });
  place.querySelector(".drawing")?.remove();
  place.prepend(drawing);
  const result = await window.vegaEmbed(drawing, spec, { ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: false, hover: false,
    loader: { load: () => Promise.reject(new Error("nothing is loaded")), sanitize: () => Promise.reject(new Error("no links")) } });
  const root = drawing.querySelector("svg");
  root?.removeAttribute("style");
  return result;
}

class LineChart {
  constructor(panel, metric) {
    Object.assign(this, { panel, metric, view: null, stale: true, result: null, drawing: null });
    const about = content.metrics[metric];
    this.plot = el("div", { class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart", on: this.events() }, el("span", { class: "waiting" }, "…"));
    this.line = el("div", { class: "cursor", hidden: true });
    this.brush = el("div", { class: "brush", hidden: true });
    this.plot.append(this.line, this.brush);
    this.table = el("div");
    this.figure = el("figure", {}, el("figcaption", {}, el("strong", { title: about.definition }, about.title), el("span", { class: "quiet" }, `${metric}, ${about.unit}`)), this.plot,
      el("details", { on: { toggle: (event) => { this.open = event.target.open; this.fillTable(); } } }, el("summary", {}, "Table and definition", el("span", { class: "hidden" }, ` of ${about.title}`)), this.table));
  }
  get extent() { return this.panel.zoom ?? this.panel.extent(); }
  mark() { this.stale = true; if (this.seen) this.draw(); }
  // Draws what is not up to date; a change while it draws is drawn afterwards.
  draw() {
    if (!this.stale) return this.drawing;
    if (!this.drawing) this.drawing = this.drawAll().finally(() => { this.drawing = null; });
    return this.drawing;
  }
  async drawAll() {
    while (this.stale) {
      this.stale = false;
      this.series = seriesOf(this.panel, this.metric);
      this.marks = alertsOf(this.panel, this.metric);
      this.result?.finalize();
      this.result = await embed(this.plot, lineSpec(this.panel, this.metric, this.series, this.marks, this.extent));
      this.view = this.result.view;
      this.shownExtent = this.extent;
      this.plot.querySelector(".waiting")?.remove();
      this.describe();
      this.fillTable();
    }
    this.figure.classList.add("drawn");
    performance.mark("drawn");
  }
  describe() {
    const ends = this.series.slice(0, MOST).map((one) => `${one.label} ${shown(one.y.at(-1))}`).join("; ");
    const more = this.series.length > MOST ? `; and ${this.series.length - MOST} more` : "";
    const count = this.marks.length ? ` ${plural(new Set(this.marks.map((mark) => mark.run)).size, "run")} with alerts.` : "";
    this.plot.setAttribute("aria-label", this.series.length
      ? `${content.metrics[this.metric].title} in ${this.panel.env.id} by ${AXIS[this.panel.state.axis].toLowerCase()}. Last values: ${ends}${more}.${count} Arrow keys read values, plus and minus zoom, 0 shows all.`
      : `${content.metrics[this.metric].title} in ${this.panel.env.id}: no line is chosen.`);
  }
  fillTable() {
    if (!this.open || !this.series) return;
    const rows = this.series.flatMap((one) => tenOf(one.x.length).map((place) => ({ one, place })));
    const band = (name) => (row) => row.one.band?.[name][row.place] ?? null;
    this.table.replaceChildren(
      el("p", { class: "quiet" }, content.metrics[this.metric].definition),
      makeTable({ caption: `${content.metrics[this.metric].title}: ten positions of each line`, tall: true, rows, columns: [
        { title: "Line", get: (row) => row.one.label }, { title: this.panel.state.axis, kind: "number", get: (row) => row.one.x[row.place] },
        { title: "Value", kind: "number", get: (row) => row.one.y[row.place] },
        ...(rows.some((row) => row.one.band) ? [{ title: "95% from", kind: "number", get: band("low") }, { title: "to", kind: "number", get: band("high") },
          { title: "Lowest", kind: "number", get: band("lowest") }, { title: "Highest", kind: "number", get: band("highest") },
          { title: "Runs", kind: "number", get: (row) => row.one.count?.[row.place] ?? 1 }] : [])] }));
  }
  applyZoom() {
    const [lo, hi] = this.extent;
    if (this.view && (this.shownExtent[0] !== lo || this.shownExtent[1] !== hi)) {
      this.shownExtent = [lo, hi];
      this.view.signal("lo", lo).signal("hi", hi).runAsync();
    }
  }
  area() {
    const [left, top] = this.view.origin();
    return { left, top, width: this.view.signal("width"), height: this.view.signal("height") };
  }
  toX(event) {
    const { left, width } = this.area();
    const [lo, hi] = this.extent;
    const share = (event.clientX - this.plot.getBoundingClientRect().left - left) / width;
    return lo + Math.min(Math.max(share, 0), 1) * (hi - lo);
  }
  place(x) {
    const { left, width } = this.area();
    const [lo, hi] = this.extent;
    return left + (width * (x - lo)) / (hi - lo || 1);
  }
  showCursor(x) {
    if (!this.view) return;
    const [lo, hi] = this.extent;
    const { top, height } = this.area();
    this.line.hidden = x === null || x < lo || x > hi;
    if (!this.line.hidden) Object.assign(this.line.style, { left: `${this.place(x)}px`, top: `${top}px`, height: `${height}px` });
  }
  // Rows of the tooltip at x: of very many lines those nearest to the pointer's height.
  readings(x, pointer) {
    const found = this.series.map((one) => {
      const [first, last] = [one.x.find((value) => value !== null), one.x.at(-1)];
      if (x < first || x > last) return null;
      const place = nearest(one.x, x);
      return { one, place, x: one.x[place], y: one.y[place] };
    }).filter(Boolean);
    if (found.length > 12 && pointer !== null) {
      const scale = this.view.scale("y");
      const off = (row) => Math.abs(scale(row.y) - pointer);
      found.sort((a, b) => off(a) - off(b));
    }
    return found.slice(0, 12);
  }
  tooltip(event, x) {
    const { top } = this.area();
    const rows = this.readings(x, event.clientY - this.plot.getBoundingClientRect().top - top);
    const near = this.marks.filter((mark) => Math.abs(this.place(mark.x) - this.place(x)) < 5).slice(0, 3);
    showTip(event, [el("div", { class: "quiet" }, `${AXIS[this.panel.state.axis]} ${shown(Math.round(x))}`),
      rows.map(({ one, place, y }) => el("div", {}, swatch(this.panel.place(one.group)), el("span", {}, one.label), el("b", {}, interval(y, one.band, place)))),
      this.series.length > rows.length && rows.length === 12 ? el("div", { class: "quiet" }, `12 of ${this.series.length} lines, the nearest`) : null,
      near.map((mark) => el("div", { class: "flag" }, `▲ ${mark.rule} in ${content.runs[mark.run].name}: ${shown(mark.y)}`))]);
  }
  events() {
    let from = null;
    const stop = () => { from = null; this.brush.hidden = true; };
    return {
      pointerdown: (event) => {
        if (!this.view || event.button) return;
        from = this.toX(event);
        this.plot.setPointerCapture(event.pointerId);
      },
      pointermove: (event) => {
        if (!this.view) return;
        const x = this.toX(event);
        this.panel.cursor(x);
        this.tooltip(event, x);
        if (from === null) return;
        const { top, height } = this.area();
        const [a, b] = [this.place(Math.min(from, x)), this.place(Math.max(from, x))];
        this.brush.hidden = b - a < 4;
        Object.assign(this.brush.style, { left: `${a}px`, width: `${b - a}px`, top: `${top}px`, height: `${height}px` });
      },
      pointerup: (event) => {
        if (from === null || !this.view) return;
        const to = this.toX(event);
        const [lo, hi] = [Math.min(from, to), Math.max(from, to)];
        stop();
        if (this.place(hi) - this.place(lo) >= 6) this.panel.setZoom([lo, hi]);
      },
      pointercancel: stop,
      pointerleave: () => { hideTip(); this.panel.cursor(null); },
      dblclick: () => this.panel.setZoom(null),
      blur: () => this.panel.cursor(null),
      keydown: (event) => this.key(event),
    };
  }
  key(event) {
    if (!this.view || event.ctrlKey || event.metaKey || event.altKey) return;
    const [lo, hi] = this.extent;
    const at = this.panel.at ?? (lo + hi) / 2;
    const xs = this.series[0]?.x.filter((x) => x !== null && x >= lo && x <= hi) ?? [];
    const step = (by) => xs[Math.min(Math.max((this.panel.at === null ? (by > 0 ? -1 : xs.length) : nearest(xs, at)) + by, 0), xs.length - 1)];
    const moves = { ArrowRight: () => step(1), ArrowLeft: () => step(-1), Home: () => xs[0], End: () => xs.at(-1) };
    if (moves[event.key] && xs.length) {
      const x = moves[event.key]();
      this.panel.cursor(x);
      announce(`${AXIS[this.panel.state.axis]} ${shown(x)}: ${this.readings(x, null).map(({ one, y }) => `${one.label} ${shown(y)}`).join("; ")}`);
    } else if (event.key === "+" || event.key === "=") this.panel.zoomBy(0.5);
    else if (event.key === "-") this.panel.zoomBy(2);
    else if (event.key === "0" || event.key === "Escape") this.panel.setZoom(null);
    else return;
    event.preventDefault();
  }
}

function tenOf(count) {
  return [...new Set(Array.from({ length: 10 }, (_, part) => Math.round((part * (count - 1)) / 9)))];
}
function interval(value, band, place) {
  if (!band || band.low[place] === band.high[place]) return shown(value);
  return `${shown(value)} [${shown(band.low[place])}, ${shown(band.high[place])}]`;
}

function showTip(event, children) {
  const tip = byId("tip");
  tip.replaceChildren(...children.flat(Infinity).filter(Boolean));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 16 + width > window.innerWidth ? event.clientX - 16 - width : event.clientX + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, window.innerHeight - height - 4))}px`;
}
function hideTip() { byId("tip").hidden = true; }
