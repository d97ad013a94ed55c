// Elements and numbers. Text enters the page through text nodes and attributes listed here, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const ALLOWED = new Set(["class", "id", "type", "for", "role", "tabindex", "scope", "value", "title", "name", "colspan",
  "placeholder", "hidden", "open", "checked", "disabled", "controls", "preload", "playsinline", "href", "viewBox", "preserveAspectRatio",
  "x1", "x2", "y1", "y2", "stroke", "stroke-width", "stroke-dasharray", "fill", "d"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, action] of Object.entries(value)) element.addEventListener(event, action);
    else if (!ALLOWED.has(name) && !name.startsWith("aria-")) throw new Error(`attribute ${name}`);
    else if (name === "href" && !String(value).startsWith("#")) throw new Error("links stay on the page");
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const announce = (text) => { byId("live").textContent = text; };

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) || size >= 1e4) return size >= 1e12 ? value.toExponential(2) : whole.format(value);
  return size < 1e-3 ? value.toExponential(2) : short.format(value);
}
const plural = (count, one, many = `${one}s`) => `${whole.format(count)} ${count === 1 ? one : many}`;
function when(text) {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(text ?? "");
  return found ? `${found[1]} ${found[2]}` : text ?? "–";
}
