// What is shown is named by the address; numbers, order and CSV.

const state = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
function go(changes, replace = false) {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...state(), ...changes }))
    if (value !== "" && value !== null && value !== undefined) found.set(key, value);
  const hash = "#" + found;
  if (hash === location.hash) return;
  if (replace) { history.replaceState(null, "", hash); draw(); } else location.hash = hash;
}
const fresh = (view, changes = {}) => { location.hash = "#" + new URLSearchParams({ view, ...changes }); };

const isNumber = v => typeof v === "number" && Number.isFinite(v);
const minus = text => text.replace("-", "−");
const raised = text => [...text].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");
function short(v) {  // as numerals.py prints four digits
  if (!isNumber(v)) return "";
  const size = Math.abs(v);
  if (v === 0 || (size >= 1e-4 && size < 1e4)) return minus(String(Number(v.toPrecision(4))));
  if (size >= 1e4 && size < 1e5) return minus(Math.round(v).toLocaleString("en"));
  const [mantissa, exponent] = v.toExponential(3).split("e").map(Number);
  return `${v < 0 ? "−" : ""}${Math.abs(mantissa) === 1 ? "" : `${Math.abs(mantissa)}×`}10${raised(String(exponent))}`;
}
function rowsOf(frame) {  // columns, coded where they are text -> rows
  const names = Object.keys(frame.columns);
  return Array.from({ length: frame.length }, (_, i) => Object.fromEntries(names.map(name => {
    const column = frame.columns[name];
    return [name, column.texts ? column.texts[column.codes[i]] : column[i]];
  })));
}
const kept = new Map();
function rows(artefact) {
  if (!kept.has(artefact.id)) kept.set(artefact.id, artefact.frame ? rowsOf(artefact.frame) : []);
  return kept.get(artefact.id);
}
function compare(a, b) {
  const empty = v => v === null || v === undefined || v === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);  // empty last
  return isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}
function sorted(list, key, descending) {
  const value = row => key(row);
  const empty = v => v === null || v === undefined || v === "";
  return [...list].sort((x, y) => {
    const a = value(x), b = value(y);
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return descending ? compare(b, a) : compare(a, b);
  });
}
function download(name, header, lines) {
  // As in `spreadsheets.py`: an apostrophe before text that a spreadsheet would take for a formula.
  const formula = v => typeof v === "string" && /^'*\s*[=+\-@]/.test(v) && !/^[+-][\d.]+(e[+-]?\d+)?( ± [\d.]+)?[†*]?$/.test(v);
  const quoted = v => /[",\n\r]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v;
  const cell = v => v === null || v === undefined ? "" : quoted(`${formula(v) ? "'" : ""}${v}`);
  const text = [header, ...lines].map(line => line.map(cell).join(",")).join("\n") + "\n";
  const a = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  return text;
}
