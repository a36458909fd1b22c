// HTML and SVG elements, and the controls. Text reaches the page as text nodes only.

const D = JSON.parse(document.getElementById("data").textContent);
const COLORS = ["#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F"];
const DASHES = ["", "7 2", "2 2", "7 2 2 2"];
const VIEWS = { overview: "At a glance", claims: "Claims", tables: "Tables", curves: "Curves",
  figures: "Figures", runs: "Runs" };
const LOOK = { holds: "holds", fails: "fails", "not resolved": "open", "not run": "none" };
const byId = id => D.artefacts.find(a => a.id === id);
const studyTitle = name => D.studies.find(s => s.name === name)?.title ?? name;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return made;
}
function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity));
  return made;
}
const pressed = action => ({ style: "cursor: pointer", tabindex: 0, role: "link", onclick: action,
  onkeydown: e => { if (e.key === "Enter") action(); } });
const link = (text, action, attributes = {}) =>
  el("button", { class: "link", type: "button", onclick: action, ...attributes }, text);
const file = (path, text) => el("a", { href: path.split("/").map(encodeURIComponent).join("/") }, text ?? path);
function chooser(label, name, values, chosen, titles = v => String(v)) {
  const select = el("select", { name, onchange: e => go({ [name]: e.target.value }) },
    values.map(v => el("option", { value: String(v), selected: String(v) === String(chosen) }, titles(v))));
  return el("label", {}, label, select);
}
function searcher(label = "Filter") {
  let waiting;
  return el("label", {}, label, el("input", { type: "search", name: "q", value: state().q ?? "",
    oninput: e => { clearTimeout(waiting); waiting = setTimeout(() => go({ q: e.target.value }, true), 120); } }));
}
function tick(label, name) {
  return el("label", { class: "inline" }, el("input", { type: "checkbox", name,
    checked: state()[name] === "1", onchange: e => go({ [name]: e.target.checked ? "1" : "" }) }), label);
}
