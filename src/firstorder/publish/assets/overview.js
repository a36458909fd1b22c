// The first view: what was reproduced.

function tally(claims) {
  return Object.keys(LOOK).map(status => [status, claims.filter(c => c.status === status).length]).filter(([, n]) => n);
}
const COUNTED = { holds: ["holds", "hold"], fails: ["fails", "fail"], "not resolved": ["is not resolved", "are not resolved"], "not run": ["is not run", "are not run"] };
function inWords(claims) {
  return tally(claims).map(([status, n]) => `${n} ${COUNTED[status][n === 1 ? 0 : 1]}`).join(", ");
}
function bar(claims) {  // the numbers; the words stand beside it, where narrow parts do not cut them
  return el("div", { class: "bar", role: "img", "aria-label": inWords(claims) }, tally(claims).map(([status, n]) =>
    el("span", { class: LOOK[status], style: `flex: ${n}`, title: `${n} ${COUNTED[status][n === 1 ? 0 : 1]}` }, String(n))));
}
function compared() {
  return D.artefacts.filter(a => a.kind === "table").flatMap(artefact => rows(artefact)
    .map((row, at) => ({ artefact, row, at }))
    .filter(({ row }) => isNumber(row.published) && isNumber(row.mean) && row.text));
}
function besidePublished(all, agree, differ) {
  const beside = `${all} ${all === 1 ? "number stands" : "numbers stand"} beside published ones`;
  const rest = all - agree - differ;
  return agree + differ ? `${beside}: ${agree} ${agree === 1 ? "agrees" : "agree"}, ${differ} ${differ === 1 ? "differs" : "differ"}`
      + `${rest ? `, ${rest} not compared by value` : ""}.`
    : `${beside}; none is compared by value.`;
}
function overview() {
  const found = compared(), parts = [];
  const by = name => found.filter(f => f.row.agreement === name).length;
  const held = D.studies.map(study => {
    const own = D.claims.filter(c => c.study === study.name);
    return [el("h3", {}, link(study.title, () => fresh("claims", { study: study.name }))),
      own.length ? bar(own) : null,
      el("p", { class: "faint" }, own.length ? `${inWords(own)}. ` : "No claims. ", `Data: ${study.data}.`)];
  });
  parts.push(el("p", { class: "lead" }, `Of ${D.claims.length} claims ${inWords(D.claims)}. `,
    found.length ? besidePublished(found.length, by("agrees"), by("differs")) : "No number has a published counterpart on these data."),
    el("p", { class: "caption" }, D.meaning),
    el("div", { class: "columns" }, el("section", {}, el("h2", {}, "Which claims held"), held),
      el("section", {}, el("h2", {}, "What to distrust"), el("ul", {}, D.cautions.map(text => el("li", {}, text))))));
  parts.push(el("h2", {}, "Published and rebuilt"));
  if (!found.length) {
    const known = D.artefacts.some(a => a.kind === "table" && rows(a).some(r => isNumber(r.published)));
    parts.push(el("p", {}, known
      ? "No rebuilt number stands beside a published one at this scale."
      : `No number of this scale has a published counterpart: its data (${D.data}) are not those of the papers. The claims above compare orders and directions.`));
  } else {
    parts.push(el("p", {}, `${besidePublished(found.length, by("agrees"), by("differs"))} A grey band is where a number agrees: `
      + "within one point, or three times the sum of both standard deviations."), bandPlot(found));
  }
  for (const [status, title] of [["fails", "What failed"], ["holds", "What held"], ["not resolved", "What is not resolved"]]) {
    const own = D.claims.filter(c => c.status === status);
    if (own.length) parts.push(el("h2", { class: LOOK[status] }, title), D.studies.map(study => listed(study, own.filter(c => c.study === study.name))));
  }
  parts.push(el("h2", {}, "Rebuilt from"), el("ul", {}, D.studies.map(study => el("li", {}, study.paper))));
  parts.push(el("h2", {}, "More"), el("ul", {},
    [["paper.pdf", "the replication report"], ["report.html", "the report of the workflow: its graph, times, rules"],
      ["claims.html", "claims as a page of their own"], ["manifest.json", "every file with its hash"]]
      .map(([path, text]) => el("li", {}, file(path), ` – ${text}`))));
  return parts;
}
function listed(study, own) {  // what was measured stands beside a failure only; the others are many
  return own.length ? [el("h3", {}, study.title), el("ul", { class: `claims${own[0].status === "fails" ? " failed" : ""}` }, own.map(c => el("li", {},
    link(`${c.claim}: ${c.title}`, () => fresh("claims", { study: c.study, claim: c.claim })),
    c.status === "fails" ? [" ", el("span", { class: "faint" }, c.verdict)] : null)))] : [];
}
function bandPlot(found) {
  const shown = sorted(found, f => Math.abs(f.row.difference) / margin(f.row), true);
  const height = 15, left = 330, width = 900, top = 20;
  const shares = shown.every(({ row }) => [row.mean, row.published].every(v => v >= 0 && v <= 100));
  const within = v => shares ? Math.min(100, Math.max(0, v)) : v;
  const ends = shown.flatMap(({ row }) => [row.mean, within(row.published - margin(row)), within(row.published + margin(row))]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = v => left + (v - low) / (high - low || 1) * (width - left - 20);
  const picture = svg("svg", { id: "band", width, height: top + shown.length * height + 10, role: "img",
    "aria-label": "Published and rebuilt numbers" });
  picture.append(...ticks(low, high, 6).flatMap(v => [
    svg("line", { class: "grid", x1: x(v), x2: x(v), y1: top, y2: top + shown.length * height }),
    svg("text", { x: x(v), y: 12, "text-anchor": "middle" }, short(v))]));
  shown.forEach(({ artefact, row, at }, i) => {
    const y = top + i * height + height / 2, color = row.agreement === "differs" ? "#a33600" : row.agreement === "agrees" ? "#00684a" : "#7a5c00";
    picture.append(svg("g", pressed(() => go({ cell: `${artefact.id}|${at}`, run: "" })),
      svg("title", {}, `${[row.section, row.row, row.column].filter(Boolean).join(" · ")}: rebuilt ${row.text}, published ${row.published_text} (${row.source})`),
      svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, cut(`${row.row}, ${row.column}${row.section ? ` – ${row.section}` : ""}`, 52)),
      svg("line", { x1: x(within(row.published - margin(row))), x2: x(within(row.published + margin(row))), y1: y, y2: y, stroke: "#999", "stroke-width": 5, "stroke-opacity": .45 }),
      svg("circle", { cx: x(row.published), cy: y, r: 3.4, fill: "#fff", stroke: "#333" }),
      svg("circle", { cx: x(row.mean), cy: y, r: 3.4, fill: color })));
  });
  return el("div", {}, el("p", { class: "faint" }, "Filled: rebuilt; open: published. Furthest from agreement first; in the units of their tables; a line leads to its runs."),
    el("div", { class: "wide", style: "max-height: 34rem; overflow-y: auto" }, picture));
}
const margin = row => Math.max(1, 3 * ((row.std ?? 0) + (row.published_std ?? 0)));
const cut = (text, n) => text.length > n ? text.slice(0, n - 1) + "…" : text;
