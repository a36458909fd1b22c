// The claims, failures first.

const RANK = { fails: 0, "not resolved": 1, holds: 2, "not run": 3 };
const SAID = { paper: "stated by the paper", peer: "suggested by other work", project: "expected by this project" };
function effectText(e) {
  if (!isNumber(e.value)) return `${e.name || "effect"}: not measured${e.note ? ` (${e.note})` : ""}`;
  const interval = isNumber(e.low) && isNumber(e.high) && e.low !== e.high ? ` [${short(e.low)}, ${short(e.high)}]` : "";
  const sign = { above: ">", below: "<", within: "within ±" }[e.direction] ?? "";
  const wanted = isNumber(e.threshold) ? `; claimed ${sign} ${short(e.threshold)}` : "";
  return `${e.name ? e.name.replaceAll("_", " ") + ": " : ""}${short(e.value)}${interval}${e.unit ? " " + e.unit : ""}${wanted}`;
}
function effectPlot(e) {
  if (!isNumber(e.value) || !isNumber(e.threshold)) return null;
  const points = [e.value, e.threshold, e.low, e.high].filter(isNumber);
  if (e.direction === "within") points.push(-e.threshold);
  const low = Math.min(...points), high = Math.max(...points), pad = (high - low || Math.abs(high) || 1) * .12;
  const x = v => 4 + (v - low + pad) / (high - low + 2 * pad) * 152;
  const lines = e.direction === "within" ? [e.threshold, -e.threshold] : [e.threshold];
  return svg("svg", { width: 160, height: 16, role: "img", "aria-label": effectText(e) }, svg("title", {}, effectText(e)),
    ...lines.map(v => svg("line", { x1: x(v), x2: x(v), y1: 1, y2: 15, stroke: "#a33600", "stroke-dasharray": "3 2" })),
    svg("line", { x1: x(isNumber(e.low) ? e.low : e.value), x2: x(isNumber(e.high) ? e.high : e.value), y1: 8, y2: 8, stroke: "#333", "stroke-width": 2 }),
    svg("circle", { cx: x(e.value), cy: 8, r: 3.4, fill: "#0072B2" }));
}
function measured(effects) {
  const lines = effects.map(e => el("div", {}, effectPlot(e) ?? "", " ", el("span", { class: "faint" }, effectText(e))));
  return lines.length <= 4 ? lines
    : el("details", {}, el("summary", { class: "faint" }, `${lines.length} measured numbers`), lines);
}
function claims() {
  const s = state(), wanted = (s.q ?? "").toLowerCase();
  const chosen = D.claims.filter(c => (!s.claim || c.claim === s.claim) && (!s.study || c.study === s.study) && (!s.status || c.status === s.status)
    && `${c.claim} ${c.title} ${c.where} ${c.verdict} ${c.status}`.toLowerCase().includes(wanted));
  const keys = { Claim: c => c.claim, Statement: c => c.title, Verdict: c => RANK[c.status], Margin: c => c.margin };
  const list = sorted(chosen, keys[s.sort] ?? keys.Verdict, s.dir === "desc");
  const head = el("tr", {}, Object.keys(keys).map(name => header(name)), el("th", {}, "Measured, with 95 % interval and threshold"), el("th", {}, "Behind it"));
  const body = list.map(c => el("tr", { id: `${c.study}-${c.claim}` }, el("td", {}, c.claim),
    el("td", {}, c.title, el("br"), el("span", { class: "faint" },
      [SAID[c.by] ?? c.by, c.where, c.since ? `since ${c.since}` : "", c.history].filter(Boolean).join("; "))),
    el("td", { class: `status ${LOOK[c.status]}` }, c.status), el("td", { class: "number" }, short(c.margin)),
    el("td", {}, c.verdict, measured(c.effects)),
    el("td", {}, el("ul", { class: "plain" }, c.related.map(id => byId(id)).filter(Boolean).map(a => el("li", {},
      link(a.title, () => fresh(a.kind === "table" ? "tables" : "figures", { id: a.id })))),
      c.code ? el("li", {}, el("code", { class: "faint" }, c.code)) : null,
      c.files.length ? el("li", {}, link(`${c.files.length} files`, () => go({ claimfiles: `${c.study}|${c.claim}` }))) : null),
      s.claimfiles === `${c.study}|${c.claim}` ? filesAndJobs({ files: c.files, narrowed: false }) : null)));
  return [el("div", { class: "controls" }, searcher(),
    chooser("Study", "study", ["", ...D.studies.map(x => x.name)], s.study ?? "", v => v ? studyTitle(v) : "all"),
    chooser("Verdict", "status", ["", ...Object.keys(LOOK)], s.status ?? "", v => v || "all"),
    s.claim ? el("button", { type: "button", onclick: () => go({ claim: "" }) }, "All claims") : null,
    el("button", { type: "button", onclick: () => download("claims.csv", ["study", "claim", "title", "where", "by", "since", "status", "verdict", "margin"],
      list.map(c => [c.study, c.claim, c.title, c.where, c.by, c.since, c.status, c.verdict, c.margin])) }, "CSV of what is shown")),
    bar(chosen), el("p", { class: "faint" }, chosen.length ? `${inWords(chosen)}. ${D.meaning}` : "No claim is left."), el("div", { class: "wide" }, el("table", { id: "claims" }, el("thead", {}, head), el("tbody", {}, body)))];
}
function header(name, number = false) {
  const s = state(), on = s.sort === name;
  return el("th", { scope: "col", class: number ? "number" : null, "aria-sort": on ? (s.dir === "desc" ? "descending" : "ascending") : "none" },
    el("button", { type: "button", onclick: () => go({ sort: name, dir: on && s.dir !== "desc" ? "desc" : "asc" }) }, name));
}
