// All charts of one environment, and the controls that they share.
class Panel {
  constructor(env) {
    this.env = env;
    this.at = null;
    this.zoom = null;
    const several = env.groups.some((number) => content.groups[number].runs.length > 1);
    this.first = best(env.groups, MOST);
    this.state = { axis: env.extent.steps ? "steps" : "seconds", mode: several ? "groups" : "runs", range: true, visible: new Set(this.first) };
    this.several = several;
    this.charts = Object.keys(env.charts).map((metric) => new LineChart(this, metric));
  }
  place(number) { return labels.get(content.groups[number].label); }
  extent() { return this.env.extent[this.state.axis]; }
  redraw() { this.charts.forEach((chart) => chart.mark()); }
  cursor(x) { this.at = x; this.charts.forEach((chart) => chart.showCursor(x)); }
  setZoom(range) {
    this.zoom = range;
    this.cursor(null);
    this.charts.forEach((chart) => chart.applyZoom());
    if (this.resetButton) this.resetButton.disabled = this.outButton.disabled = !range;
    announce(range ? `${AXIS[this.state.axis]} ${shown(Math.round(range[0]))} to ${shown(Math.round(range[1]))}` : "All is shown");
  }
  zoomBy(factor) {
    const [first, last] = this.extent();
    const [lo, hi] = this.zoom ?? [first, last];
    const at = Math.min(Math.max(this.at ?? (lo + hi) / 2, lo), hi);
    const next = [Math.max(first, at - (at - lo) * factor), Math.min(last, at + (hi - at) * factor)];
    this.setZoom(next[0] <= first && next[1] >= last ? null : next);
  }
  controls() {
    const radio = (title, key, choices) => el("fieldset", {}, el("legend", {}, title), choices.map(([value, text]) => {
      const input = el("input", { type: "radio", name: `${key}-${this.env.number}`, value, on: { change: () => { this.state[key] = value; if (key === "axis") this.setZoom(null); this.redraw(); } } });
      input.checked = this.state[key] === value;
      return el("label", {}, input, ` ${text}`);
    }));
    const range = el("input", { type: "checkbox", on: { change: () => { this.state.range = range.checked; this.redraw(); } } });
    range.checked = true;
    const button = (text, action, disabled = false) => el("button", { type: "button", disabled, on: { click: action } }, text);
    this.outButton = button("Zoom out", () => this.zoomBy(2), true);
    this.resetButton = button("Show all", () => this.setZoom(null), true);
    const axes = Object.keys(AXIS).filter((axis) => this.env.extent[axis]);
    return el("div", { class: "controls" },
      axes.length > 1 ? radio("By", "axis", [["steps", "steps"], ["seconds", "time"]]) : null,
      this.several ? radio("Lines", "mode", [["groups", "groups"], ["runs", "each run"]]) : null,
      this.several ? el("label", {}, range, " range of all runs") : null,
      el("fieldset", {}, el("legend", { class: "hidden" }, "Zoom"), button("Zoom in", () => this.zoomBy(0.5)), this.outButton, this.resetButton));
  }
  chips() {
    const chips = this.env.groups.map((number) => {
      const group = content.groups[number];
      const chip = el("button", { type: "button", class: "chip", "aria-pressed": "true", on: { click: () => {
        if (!this.state.visible.delete(number)) this.state.visible.add(number);
        show();
      } } }, swatch(this.place(number)), `${group.label}${group.seeds > 1 ? ` (${group.seeds} seeds)` : ""}`);
      return { number, chip };
    });
    const show = () => {
      chips.forEach(({ number, chip }) => chip.setAttribute("aria-pressed", String(this.state.visible.has(number))));
      this.redraw();
    };
    const choose = (text, numbers) => el("button", { type: "button", class: "chip plain", on: { click: () => { this.state.visible = new Set(numbers); show(); } } }, text);
    chips.forEach(({ number, chip }) => chip.setAttribute("aria-pressed", String(this.state.visible.has(number))));
    const many = this.env.groups.length > MOST;
    return el("div", {}, many ? el("p", { class: "quiet" }, `${MOST} of ${this.env.groups.length} groups are drawn, those of the highest return; choose others here.`) : null,
      el("div", { class: many ? "chips many" : "chips", role: "group", "aria-label": `Groups drawn in ${this.env.id}` }, chips.length > 2 ? [choose("All", this.env.groups), choose(many ? `Best ${MOST}` : "None", many ? this.first : [])] : null,
        chips.map(({ chip }) => chip)));
  }
}

// The groups of the highest return, in their own order.
function best(numbers, most) {
  if (numbers.length <= most) return numbers;
  const metric = content.learning[0];
  const value = (number) => content.groups[number].returns[metric]?.centre ?? -Infinity;
  const kept = new Set([...numbers].sort((a, b) => value(b) - value(a)).slice(0, most));
  return numbers.filter((number) => kept.has(number));
}
