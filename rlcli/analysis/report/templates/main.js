// The sections of the page, top to bottom.
const content = JSON.parse(byId("content").textContent);
const labels = new Map();
content.groups.forEach(({ label }) => { if (!labels.has(label)) labels.set(label, labels.size); });
const drawn = new Map();
const main = byId("main");
const nav = byId("contents");
const oneEnvironment = content.environments.length === 1;

function section(id, title, ...children) {
  nav.append(el("a", { href: `#${id}` }, title));
  const made = el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title`, tabindex: -1 }, title), children);
  main.append(made);
  return made;
}
function watch(chart) {
  drawn.set(chart.figure, chart);
  return chart.figure;
}
const flag = (count) => (count ? el("span", { class: "flag" }, `▲ ${whole.format(count)}`) : "0");
const nameOf = (run) => (content.runs.some((other) => other !== run && other.name === run.name) ? `${run.name} (${run.id})` : run.name);
const title = (metric) => content.metrics[metric].title;

function results() {
  const spread = (metric) => ({ title: title(metric) ?? metric, kind: "number", get: (group) => group.returns[metric]?.centre ?? null,
    show: (group) => withInterval(group.returns[metric]) });
  const health = (metric) => ({ title: title(metric), hint: `${metric}: median over updates, then over runs`, kind: "number", get: (group) => group.health[metric] });
  const columns = [
    { title: "Group", kind: "wide", get: (group) => group.label, show: (group) => el("span", { class: "key" }, swatch(labels.get(group.label)), ` ${group.label}`) },
    ...(oneEnvironment ? [] : [{ title: "Environment", get: (group) => content.runs[group.runs[0]].env }]),
    { title: "Seeds", kind: "number", get: (group) => group.seeds },
    { title: "Alerts", hint: "rules that hold at some update, over all runs", kind: "number", get: (group) => group.alerts, show: (group) => flag(group.alerts) },
    ...content.learning.map(spread),
    ...(content.learning.includes("eval/return_mean") ? [{ title: "Best evaluation", kind: "number", get: (group) => group.returns.best?.centre ?? null, show: (group) => withInterval(group.returns.best) }] : []),
    ...content.health.map(health)];
  section("results", "Results", el("p", {}, "Each group is runs of equal settings, seeds apart. Returns are the interquartile mean over seeds at the end of training, with its 95% bootstrap interval in brackets; health is the median over all updates and runs."),
    makeTable({ caption: "Groups of runs", rows: content.groups, columns, tall: content.groups.length > 20,
      filters: content.groups.length > 5 ? { noun: "group", hint: "algorithm, setting, value" } : null }));
}
function withInterval(found) {
  if (!found) return "–";
  return found.runs > 1 ? [shown(found.centre), el("span", { class: "interval" }, ` [${shown(found.low)}, ${shown(found.high)}]`)] : shown(found.centre);
}

const panels = [];
function curves() {
  content.environments.forEach((env, number) => {
    env.number = number;
    if (!Object.keys(env.charts).length) {
      section(`env-${number}`, env.id, el("p", {}, "No run in this environment has a row yet."));
      return;
    }
    const panel = new Panel(env);
    panels.push(panel);
    const of = (metrics) => panel.charts.filter((chart) => metrics.includes(chart.metric)).map(watch);
    const runs = env.groups.flatMap((one) => content.groups[one].runs);
    const without = runs.filter((run) => content.runs[run].figures["eval/return_mean"] === null).length;
    section(`env-${number}`, oneEnvironment ? "Learning and health" : env.id,
      oneEnvironment ? el("p", { class: "quiet" }, `Environment ${env.id}`) : null,
      without ? el("p", { class: "quiet" }, without === runs.length ? "No run has an evaluation." : `${plural(without, "run")} without an evaluation ${without === 1 ? "is" : "are"} not in the charts of evaluations.`) : null,
      el("p", { class: "quiet" }, panel.several ? "Lines are the interquartile mean over seeds, dark bands its 95% bootstrap interval, light bands the range of all runs. " : "", "Drag across a chart to zoom; double-click to show all. Charts of an environment move together."),
      panel.controls(), panel.chips(),
      el("h3", {}, "Learning curves"), el("div", { class: "charts wide" }, of(content.learning)),
      el("h3", {}, "Health after each update, on one scale for every algorithm"),
      el("p", { class: "quiet" }, "▲ marks alerts, dashed red lines their limits. KL divergence and budget are on a logarithmic axis, and smaller values are drawn at its foot; explained variance is compressed below 0."),
      el("div", { class: "charts" }, of(content.health)));
  });
}

function alerts() {
  const rows = content.runs.flatMap((run) => run.alerts.map((alert) => ({ run, alert })));
  const hit = (rule) => rows.filter((row) => row.alert.rule === rule.name);
  section("alerts", "Alerts", el("p", {}, "Simple rules, checked at every update of every run. An alert points to updates that deserve a look; it is no proof of a fault."),
    makeTable({ caption: "Rules", rows: content.rules, columns: [
      { title: "Rule", get: (rule) => rule.name }, { title: "Holds when", get: (rule) => `${rule.metric} is ${rule.text}` },
      { title: "Runs", kind: "number", get: (rule) => hit(rule).length, show: (rule) => flag(hit(rule).length) }] }),
    rows.length ? [el("h3", {}, "Runs with alerts"), makeTable({ caption: "Alerts by run and rule", rows, tall: rows.length > 15, filters: { noun: "alert", hint: "run, rule", choices: [{ title: "Rule", get: (row) => row.alert.rule }] }, columns: [
      { title: "Run", kind: "wide", get: (row) => nameOf(row.run) }, { title: "Rule", get: (row) => row.alert.rule },
      { title: "Updates", kind: "number", get: (row) => row.alert.count }, { title: "First update", kind: "number", get: (row) => row.alert.first },
      { title: "Last update", kind: "number", get: (row) => row.alert.last }, { title: "Worst value", kind: "number", get: (row) => row.alert.worst },
      { title: "at update", kind: "number", get: (row) => row.alert.worst_update }, { title: "at step", kind: "number", get: (row) => row.alert.worst_steps }] })]
      : el("p", {}, "No rule holds at any update."));
}

function sweep() {
  const found = content.environments.filter((env) => env.sweep);
  if (!found.length) return;
  section("settings", "Settings and results", found.map((env) => [
    oneEnvironment ? null : el("h3", {}, env.id),
    el("p", {}, `How the ${title(env.sweep.metric).toLowerCase()} (last value of a run) goes with each setting that differs. Importance: ${env.sweep.measure}. Rank correlation: of numbers Spearman's, with its sign; of choices the correlation ratio of ranks, from 0 to 1. Neither proves a cause, and settings that differ together share it.`),
    importanceTable(env),
    el("p", { class: "quiet" }, "Slices: a dot per run, a bar at the median of each value",
      new Set(content.runs.map((run) => run.algo)).size > 1 ? ", coloured by algorithm." : ".",
      env.sweep.left_out ? ` ${plural(env.sweep.left_out, "setting")} of lower importance are not drawn.` : ""),
    algorithmLegend(),
    el("div", { class: "charts" }, env.sweep.settings.map((one) => watch(new SliceChart(env, one))))]));
}
function algorithmLegend() {
  const algos = [...new Set(content.runs.map((run) => run.algo))];
  if (algos.length < 2) return null;
  return el("div", { class: "chips" }, algos.map((algo, place) => el("span", { class: "chip" },
    svg("svg", { class: "swatch", viewBox: "0 0 28 10", "aria-hidden": "true" }, svg("path", { d: "M10 5a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z", fill: COLOURS[place % COLOURS.length] })), algo)));
}

function runTable() {
  const figure = (name, heading, hint) => ({ title: heading, hint, kind: "number", get: (run) => run.figures[name] });
  const has = (name) => content.runs.some((run) => run.figures[name] !== null);
  const columns = [
    { title: "Run", kind: "wide", get: (run) => run.name }, { title: "Id", kind: "short", get: (run) => run.id, show: (run) => el("code", {}, run.id) },
    ...(oneEnvironment ? [] : [{ title: "Environment", kind: "short", get: (run) => run.env }]),
    { title: "Algorithm", kind: "short", get: (run) => run.algo }, { title: "Seed", kind: "number", get: (run) => run.seed },
    { title: "Status", kind: "short", get: (run) => run.status }, { title: "Steps", kind: "number", get: (run) => run.env_steps },
    { title: "Alerts", kind: "number", get: (run) => run.alerts.length, show: (run) => flag(run.alerts.length) },
    ...content.learning.map((name) => figure(name, title(name), `${name}, last value`)),
    ...(has("best") ? [figure("best", "Best evaluation", "highest eval/return_mean")] : []),
    ...(has("lowest ESS") ? [figure("lowest ESS", "Lowest ESS", "minimum of behaviour/ess over updates")] : []),
    ...content.health.filter((name) => name !== "behaviour/kl_pi_mu").map((name) => figure(name, title(name), `${name}, median over updates`)),
    ...(content.runs.some((run) => run.tags.length) ? [{ title: "Tags", get: (run) => run.tags.join(", ") }] : [])];
  section("runs", "Runs", el("p", {}, "Open a run for its settings and the commands that repeat it."),
    makeTable({ caption: "Runs", rows: content.runs, columns, tall: content.runs.length > 20,
      filters: { noun: "run", hint: "name, id, any value", choices: [{ title: "Algorithm", get: (run) => run.algo }, { title: "Environment", get: (run) => run.env }, { title: "Status", get: (run) => run.status }] },
      detail: { name: (run) => run.name, show: runDetail } }));
}
function runDetail(run) {
  const facts = [["Directory", run.dir], ["Started", when(run.started)], ["Finished", when(run.finished)], ["Updates", whole.format(run.updates)], ["Planned steps", whole.format(run.total_steps)], ["Resumed", plural(run.resumes, "time")]];
  return el("div", { class: "detail" },
    el("div", { class: "settings" }, facts.map(([name, text]) => el("span", {}, el("span", { class: "quiet" }, `${name} `), text))),
    run.message ? el("p", { class: "notice" }, run.message) : null,
    run.notes ? el("p", {}, el("span", { class: "quiet" }, "Notes "), run.notes) : null,
    el("h3", {}, "Repeat this run"), run.commands.map(command),
    el("h3", {}, "Settings that are not defaults"),
    el("div", { class: "settings mono" }, Object.entries(run.settings).map(([key, value]) => el("span", {}, `${key}=${value}`))));
}
function command({ text, command: line }) {
  return el("div", {}, el("div", { class: "quiet" }, text), line === null
    ? el("p", { class: "notice" }, "It holds characters that control a terminal, so it is not given.")
    : el("div", { class: "command" }, el("code", {}, line), el("button", { type: "button", class: "copy", "aria-label": `Copy: ${line}`, on: { click: (event) => copy(line, event.currentTarget) } }, "Copy")));
}
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) { announce("Select the command and copy it"); return; }
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function whose(runs, total) {
  if (runs.length === total) return "all runs";
  const names = runs.slice(0, 3).map((run) => content.runs[run].name).join(", ");
  return runs.length > 3 ? `${plural(runs.length, "run")}: ${names}, …` : `${plural(runs.length, "run")}: ${names}`;
}
function valuesOf(values, total) {
  const kept = values.slice(0, 20).map((value) => el("div", {}, el("span", { class: "mono" }, value.text), values.length > 1 ? el("span", { class: "quiet" }, ` ${whose(value.runs, total)}`) : null));
  return values.length > 20 ? [...kept, el("div", { class: "quiet" }, `and ${values.length - 20} more`)] : kept;
}
function differences() {
  const effects = { results: "affects results", maybe: "may affect results", nothing: "cosmetic" };
  const order = Object.keys(effects);
  const rows = [...content.settings].sort((a, b) => order.indexOf(a.effect) - order.indexOf(b.effect));
  section("differences", "Differences in settings", rows.length
    ? makeTable({ caption: "Settings in which runs differ, seeds apart", rows, tall: rows.length > 15, filters: rows.length > 5 ? { noun: "setting", hint: "key, value", choices: [{ title: "Effect", get: (row) => effects[row.effect] }] } : null, columns: [
      { title: "Setting", get: (row) => row.key, show: (row) => el("span", { title: row.doc }, row.key) }, { title: "Effect", kind: "short", get: (row) => effects[row.effect] },
      { title: "Values", kind: "wide", get: (row) => row.values.length, show: (row) => valuesOf(row.values, content.runs.length) }] })
    : el("p", {}, "All runs have equal settings, seeds apart."));
}
function provenance() {
  const rows = content.provenance;
  const several = rows.filter((row) => row.values.length > 1).length;
  section("provenance", "Provenance", el("p", {}, several ? `Runs differ in ${plural(several, "entry", "entries")}, which come first.` : "Code, packages and machine are the same for all runs.",
    " Commands that repeat a run are in its details, above."),
    makeTable({ caption: "Code, kernel, machine and packages", rows, columns: [
      { title: "What", kind: "short", get: (row) => row.name }, { title: "Value", kind: "wide", get: (row) => row.values[0].text, show: (row) => valuesOf(row.values, content.runs.length) }] }),
    el("h3", {}, "This page"), command({ text: "Made by", command: content.command }));
}

function videos() {
  if (!content.videos.length) return;
  section("videos", "Videos", el("div", { class: "clips" }, content.videos.map((about, place) => {
    const run = content.runs[about.run];
    const video = el("video", { controls: true, preload: "none", playsinline: true, "aria-label": `Video ${about.name} of ${run.name}` });
    const figure = el("figure", {}, video, el("figcaption", {}, el("strong", {}, about.name), el("span", { class: "quiet" }, `${content.groups[run.group].label}, seed ${run.seed}`)));
    drawn.set(figure, { draw() {
      if (video.src) return;
      const bytes = Uint8Array.from(atob(byId(`video-${place}`).textContent), (character) => character.charCodeAt(0));
      video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
      video.preload = "metadata";
    } });
    return figure;
  })));
}

function theme() {
  const select = byId("theme");
  const apply = () => {
    if (select.value === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", select.value);
  };
  try { select.value = localStorage.getItem("rlcli-theme") ?? "auto"; } catch { /* a page without storage */ }
  if (!select.value) select.value = "auto";
  select.addEventListener("change", () => {
    apply();
    try { localStorage.setItem("rlcli-theme", select.value); } catch { /* a page without storage */ }
  });
  apply();
}

theme();
if (content.faults.length) main.append(el("div", { class: "notice", role: "note" }, el("strong", {}, "Left out or incomplete"), el("ul", {}, content.faults.map((fault) => el("li", {}, fault)))));
const running = content.runs.filter((run) => run.status === "running").length;
if (running) main.append(el("p", { class: "notice" }, `${plural(running, "run is", "runs are")} still training: ${running === 1 ? "its" : "their"} rows end where they were when this page was made.`));
results();

// What is below the first screen is made once that has been painted.
let [made, loaded] = [false, false];
requestAnimationFrame(() => setTimeout(() => {
  [curves, alerts, sweep, runTable, videos, differences, provenance].forEach((part) => part());
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  made = true;
  begin();
}, 0));
window.startCharts = () => {
  loaded = true;
  begin();
};

// Charts are drawn one after the other as they come into view, once the library is there.
let turn = Promise.resolve();
function drawInTurn(chart) {
  turn = turn.then(() => (chart.seen ? chart.draw() : null)).catch((error) => console.error(error)).then(() => new Promise((done) => { setTimeout(done, 0); }));
}
const all = () => Promise.all([...drawn.values()].map((chart) => chart.draw()));
function begin() {
  if (!made || !loaded) return;
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const chart = drawn.get(target);
      chart.seen = isIntersecting;
      if (isIntersecting) drawInTurn(chart);
    }
  }, { rootMargin: "200px" });
  for (const figure of drawn.keys()) watcher.observe(figure);
}
byId("print").addEventListener("click", async () => { await all(); window.print(); });
window.addEventListener("beforeprint", all);
