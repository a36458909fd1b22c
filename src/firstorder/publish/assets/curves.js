// Curves with choosers, drawn from the data of figures.

// A figure's data are its keys (text, or numbers before the first mean or the last text) and its values.
const known = new Map();
function columnsOf(artefact) {
  if (!known.has(artefact.id)) known.set(artefact.id, columnsIn(artefact));
  return known.get(artefact.id);
}
function columnsIn(artefact) {
  const all = rows(artefact), names = Object.keys(artefact.frame.columns).filter(name => all.some(r => given(r[name])));
  const isText = name => Boolean(artefact.frame.columns[name].texts), counts = Object.fromEntries(names.map(name => [name, distinct(all, name)]));
  const few = name => counts[name] <= 24;
  const means = names.filter(n => n === "mean" || n.endsWith("_mean"));
  const extra = new Set(names.filter(n => /(^|_)(std|count)$/.test(n)));
  const first = means.length ? names.indexOf(means[0]) : names.findLastIndex(isText);
  const whole = name => all.every(r => r[name] === null || Number.isInteger(r[name]));
  const numeric = names.filter(n => !isText(n) && !extra.has(n));
  const early = n => names.indexOf(n) < first && (means.length || (few(n) && 4 * counts[n] <= all.length));
  const steps = numeric.filter(n => !means.includes(n) && (early(n) || (whole(n) && (means.length || counts[n] <= 400))));
  const values = means.length ? means : numeric.filter(n => !steps.includes(n));
  return { all, isText, counts, steps, values, candidates: names.filter(n => isText(n) || (steps.includes(n) && few(n))) };
}
const given = v => v !== null && v !== undefined && v !== "";
const distinct = (list, name) => new Set(list.map(r => r[name]).filter(given)).size;
const both = (list, x, y) => list.filter(r => isNumber(r[x]) && isNumber(r[y]));
function determines(list, a, b) {  // equal in a, equal in b
  const seen = new Map();
  return list.every(r => { if (!seen.has(r[a])) seen.set(r[a], r[b]); return seen.get(r[a]) === r[b]; });
}
// What tells lines apart, once each: loss beside label and kind beside noise say nothing more, and a
// noise that has one rate is no choice where the rate is the axis. Units are never mixed.
function keysOf(columns, list, x) {
  const several = columns.candidates.filter(n => n !== x && distinct(list, n) > 1);
  const keys = several.filter(n => !(columns.isText(n) && columns.steps.includes(x) && determines(list, n, x)));
  const dropped = new Set(), twins = {};
  for (const b of keys) for (const a of keys) {
    if (a === b || b === "metric" || !columns.isText(a) || dropped.has(a) || dropped.has(b) || !determines(list, a, b)) continue;
    const same = columns.isText(b) && determines(list, b, a);
    const loser = !same || a === "label" ? b : b === "label" || keys.indexOf(b) < keys.indexOf(a) ? a : b;
    dropped.add(loser);
    if (same) twins[loser === a ? b : a] ??= loser;
  }
  return { keys: keys.filter(k => !dropped.has(k)), called: k => k === "label" ? nice(twins.label ?? "name") : nice(k) };
}
// What is drawn at first, and what may be: an axis has a value beside it.
function axes(columns, s = {}) {
  const together = (x, y) => y !== x && columns.all.some(r => isNumber(r[x]) && isNumber(r[y]));
  const varying = columns.steps.filter(n => columns.counts[n] > 1);
  const xs = [...varying, ...columns.values].filter(x => columns.values.some(y => together(x, y)));
  const longest = sorted(varying.filter(n => n !== "seed" && xs.includes(n)), n => columns.counts[n], true)[0];
  const x = xs.includes(s.x) ? s.x : longest ?? xs[0];
  const ys = x === undefined ? [] : columns.values.filter(y => together(x, y));
  return { xs, x, ys, y: ys.includes(s.y) ? s.y : ys[0] };
}
let drawables;
const drawable = () => drawables ??= D.artefacts.filter(a => {  // some line has two points
  if (a.kind !== "figure" || !a.frame || a.frame.length <= 3) return false;
  const columns = columnsOf(a), { x, y } = axes(columns);
  if (y === undefined) return false;
  const list = both(columns.all, x, y), texts = keysOf(columns, list, x).keys.filter(columns.isText);
  return new Set(list.map(r => texts.map(n => r[n]).join("|"))).size < list.length;
});
const nice = name => name.replace(/_mean$/, "").replaceAll("_", " ");
function curves() {
  const s = state(), all = drawable();
  if (!all.length) return [el("p", {}, "No figure of this scale has curves.")];
  const studies = [...new Set(all.map(a => a.study))], listed = s.study ? all.filter(a => a.study === s.study) : all;
  const preferred = listed.find(a => "epoch" in a.frame.columns) ?? listed[0];
  const artefact = listed.find(a => a.id === s.id) ?? preferred, columns = columnsOf(artefact);
  const { xs, x, ys, y } = axes(columns, s);
  let left = both(columns.all, x, y);
  const { keys: free, called } = keysOf(columns, left, x), said = v => artefact.titles[v] ?? String(v);
  const texts = free.filter(k => columns.isText(k) && k !== "metric");
  let by = free.includes(s.by) ? s.by : texts.at(-1) ?? free.filter(k => k !== "metric").at(-1) ?? "";
  const picks = [], fixed = {};
  for (const key of ["metric", ...free.filter(k => k !== "metric")].filter(k => k !== by && free.includes(k))) {
    const values = [...new Set(left.map(r => r[key]))].filter(given);
    if (!values.length) continue;
    const value = values.find(v => String(v) === s["k." + key]) ?? values[0];
    left = left.filter(r => r[key] === value || !given(r[key]));
    fixed[key] = value;
    if (values.length > 1) picks.push(chooser(called(key), "k." + key, values, value, said));
  }
  if (by && !left.some(r => given(r[by]))) by = "";
  const std = y === "mean" ? "std" : y.endsWith("_mean") ? y.replace(/mean$/, "std") : null;
  const names = by ? [...new Set(left.map(r => r[by]))] : [""];
  const order = by ? [...new Set(columns.all.map(r => r[by]))] : [""];
  const hidden = new Set((s.hide ?? "").split("|").filter(Boolean));
  const series = names.map(name => {
    const own = left.filter(r => !by || r[by] === name), index = order.indexOf(name);
    const look = (by === "loss" || by === "label") && D.looks[name] || { color: COLORS[index % COLORS.length], dash: DASHES[Math.floor(index / COLORS.length) % 4], marker: "o" };
    return { ...look, name: String(name), title: said(name) || "–", rows: sorted(own, r => r[x]), hidden: hidden.has(String(name)) };
  });
  const shown = series.filter(each => !each.hidden);
  return [el("div", { class: "controls" },
    chooser("Study", "study", ["", ...studies], s.study ?? "", v => v ? studyTitle(v) : "all"),
    chooser("Figure", "id", listed.map(f => f.id), artefact.id, id => byId(id).title),
    picks, chooser("Value", "y", ys, y, nice), chooser("Against", "x", xs.filter(n => n !== y), x, nice),
    free.length > 1 ? chooser("Lines by", "by", free, by, called) : null,
    tick("log y", "logy"), tick("log x", "logx"),
    el("button", { type: "button", onclick: () => download(`${artefact.id}.csv`, Object.keys(artefact.frame.columns),
      shown.flatMap(each => each.rows).map(r => Object.keys(artefact.frame.columns).map(n => r[n]))) }, "CSV of what is shown")),
    el("h2", {}, artefact.title), plot(artefact, shown, x, y, std, by, fixed, s),
    by ? el("div", { class: "legend", "aria-label": called(by) }, el("span", { class: "faint" }, `${called(by)}:`), series.map(each => el("button", {
      type: "button", "aria-pressed": String(!each.hidden),
      onclick: () => { each.hidden ? hidden.delete(each.name) : hidden.add(each.name); go({ hide: [...hidden].join("|") }); } },
      svg("svg", { width: 26, height: 10 }, svg("line", { x1: 0, x2: 26, y1: 5, y2: 5, stroke: each.color, "stroke-width": 2, "stroke-dasharray": each.dash }), mark(each, 13, 5)), each.title))) : null,
    caption(artefact), el("p", { class: "faint" }, std ? "Bands are one standard deviation over seeds. " : "", left.length > MARKS_MOST ? "Of so many points not all are marked. " : "", "A line leads to its runs; the legend hides and shows."), sources(artefact)];
}
const MARKS_MOST = 3000;  // of more points some are drawn: a browser is slow with many elements
// The markers of the figures, by matplotlib's names, about (0, 0).
const MARKS = { o: "M-1,0A1,1,0,1,0,1,0A1,1,0,1,0,-1,0Z", s: "M-.9-.9H.9V.9H-.9Z", "^": "M0-1.1L1,.9H-1Z", v: "M0,1.1L1-.9H-1Z", "<": "M-1.1,0L.9-1V1Z",
  D: "M0-1.2L1.2,0L0,1.2L-1.2,0Z", P: "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z", X: "M-.6-1.1L0-.5L.6-1.1L1.1-.6L.5,0L1.1,.6L.6,1.1L0,.5L-.6,1.1L-1.1,.6L-.5,0L-1.1-.6Z" };
function mark(look, at, up, size = 3, ...children) {
  return svg("path", { class: "mark", d: MARKS[look.marker], transform: `translate(${at} ${up}) scale(${size})`, fill: look.color }, ...children);
}
function ticks(low, high, n, log = false) {
  if (log) { const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of Math.log10(high / low) < 2.5 ? [1, 2, 5] : [1]) { const v = m * 10 ** e; if (v >= low * .999 && v <= high * 1.001) found.push(v); }
    return found; }
  const raw = (high - low || 1) / n, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map(m => m * power).find(v => v >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(Number(v.toPrecision(12)));
  return found;
}
function plot(artefact, series, x, y, std, by, fixed, s) {
  const W = Math.max(320, Math.min(860, document.documentElement.clientWidth - 30)), H = Math.max(280, Math.min(400, W)), L = 64, R = 14, T = 10, B = 44, logx = s.logx === "1", logy = s.logy === "1";
  const fine = r => (!logx || r[x] > 0) && (!logy || r[y] > 0);
  const points = series.flatMap(each => each.rows.filter(fine));
  if (!points.length) return el("p", {}, "Nothing is left to draw.");
  const range = (values, log) => { let low = Math.min(...values), high = Math.max(...values);
    if (log) return low === high ? [low / 2, high * 2] : [low, high];
    const pad = (high - low) * .04 || Math.abs(high) * .1 || 1; return [low - pad, high + pad]; };
  const [x0, x1] = range(points.map(r => r[x]), logx), [y0, y1] = range(points.map(r => r[y]), logy);
  const scale = (v, a, b, log) => log ? Math.log(v / a) / Math.log(b / a) : (v - a) / (b - a);
  const px = v => L + scale(v, x0, x1, logx) * (W - L - R), py = v => H - B - scale(Math.min(Math.max(v, y0), y1), y0, y1, logy) * (H - T - B);
  const picture = svg("svg", { id: "plot", viewBox: `0 0 ${W} ${H}`, width: W, style: "max-width: 100%", role: "img", "aria-label": `${nice(y)} against ${nice(x)}` });
  for (const v of ticks(x0, x1, W / 110, logx)) picture.append(svg("line", { class: "grid", x1: px(v), x2: px(v), y1: T, y2: H - B }), svg("text", { x: px(v), y: H - B + 16, "text-anchor": "middle" }, short(v)));
  for (const v of ticks(y0, y1, 6, logy)) picture.append(svg("line", { class: "grid", x1: L, x2: W - R, y1: py(v), y2: py(v) }), svg("text", { x: L - 6, y: py(v) + 4, "text-anchor": "end" }, short(v)));
  picture.append(svg("line", { class: "axis", x1: L, x2: W - R, y1: H - B, y2: H - B }), svg("line", { class: "axis", x1: L, x2: L, y1: T, y2: H - B }),
    svg("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, nice(x)),
    svg("text", { x: 14, y: (T + H - B) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(T + H - B) / 2})` }, y === "mean" && fixed.metric ? nice(fixed.metric) : nice(y)));
  for (const each of series) {
    const own = each.rows.filter(fine);
    if (!own.length) continue;
    const repeated = new Set(own.map(r => r[x])).size < own.length;
    if (std && !repeated && own.some(r => isNumber(r[std]))) {
      const upper = own.map(r => `${px(r[x])},${py(r[y] + (r[std] ?? 0))}`), lower = own.map(r => `${px(r[x])},${py(r[y] - (r[std] ?? 0))}`).reverse();
      picture.append(svg("polygon", { points: [...upper, ...lower].join(" "), fill: each.color, "fill-opacity": .12 }));
    }
    const row = { ...fixed, ...(by ? { [by]: each.name } : {}) };
    const group = svg("g", { class: "series", "data-name": each.name, "aria-label": `the runs of ${each.title}`, ...pressed(() => go({ series: `${artefact.id}|${new URLSearchParams(row)}`, run: "", cell: "" })) });
    if (!repeated) group.append(svg("polyline", { points: own.map(r => `${px(r[x])},${py(r[y])}`).join(" "), fill: "none", stroke: each.color, "stroke-width": 2, "stroke-dasharray": each.dash }));
    const every = Math.ceil(own.length / (repeated ? Math.max(60, MARKS_MOST / series.length) : 60));
    group.append(...own.filter((_, i) => i % every === 0).map(r => mark(each, px(r[x]), py(r[y]), repeated || own.length > 20 ? 2.2 : 3,
      svg("title", {}, `${each.title}: ${nice(x)} ${short(r[x])}, ${nice(y)} ${short(r[y])}${std && isNumber(r[std]) ? " ± " + short(r[std]) : ""}`))));
    picture.append(group);
  }
  return el("div", { class: "wide" }, picture);
}
