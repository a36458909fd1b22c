// Tables: sorted by a column, filtered by rows.

function tables() {
  const s = state(), all = D.artefacts.filter(a => a.kind === "table");
  if (!all.length) return [el("p", {}, "No table is made at this scale.")];
  const studies = [...new Set(all.map(a => a.study))];
  const listed = s.study ? all.filter(a => a.study === s.study) : all;
  const artefact = listed.find(a => a.id === s.id) ?? listed[0], wanted = (s.q ?? "").toLowerCase();
  const numbered = rows(artefact).map((row, at) => ({ ...row, at }));
  const shown = [], parts = [];
  for (const section of new Set(numbered.map(r => r.section ?? ""))) {
    const own = numbered.filter(r => (r.section ?? "") === section);
    const columns = [...new Set(own.map(r => r.column))], labels = [...new Set(own.map(r => r.row))];
    const cell = (label, column) => own.find(r => r.row === label && r.column === column);
    let lines = labels.filter(label => `${section} ${label}`.toLowerCase().includes(wanted));
    if (s.sort) lines = sorted(lines, s.sort === own[0].corner ? label => label
      : label => { const c = cell(label, s.sort); return c ? (isNumber(c.mean) ? c.mean : c.text) : null; }, s.dir === "desc");
    if (!lines.length) continue;
    shown.push(...lines.flatMap(label => columns.map(column => cell(label, column))).filter(Boolean));
    parts.push(section ? el("h3", {}, section) : "", el("div", { class: "wide" }, el("table", { class: "results" },
      el("thead", {}, el("tr", {}, header(own[0].corner || "Row"), columns.map(c => header(c, true)))),
      el("tbody", {}, lines.map(label => el("tr", {}, el("th", { scope: "row" }, label), columns.map(column => number(artefact, cell(label, column)))))))));
  }
  return [el("div", { class: "controls" },
    chooser("Study", "study", ["", ...studies], s.study ?? "", v => v ? studyTitle(v) : "all"),
    chooser("Table", "id", listed.map(a => a.id), artefact.id, id => byId(id).title), searcher("Filter rows"),
    el("button", { type: "button", onclick: () => download(`${artefact.id}.csv`, Object.keys(artefact.frame.columns),
      shown.map(row => Object.keys(artefact.frame.columns).map(name => row[name]))) }, "CSV of what is shown")),
    el("h2", {}, artefact.title), caption(artefact), parts.length ? parts : el("p", {}, "No row is left."), sources(artefact)];
}
function number(artefact, row) {
  if (!row) return el("td", { class: "number" });
  const kind = row.agreement === "agrees" ? "agrees" : row.agreement === "differs" ? "differs" : "";
  return el("td", { class: "number" },
    row.text ? link(row.text, () => go({ cell: `${artefact.id}|${row.at}`, run: "" }),
      { class: `link${row.best === true ? " best" : ""}`, title: row.seeds ? `by seed: ${row.seeds}` : "the runs behind this number" }) : null,
    row.published_text ? el("div", { class: `faint ${kind}` }, `published ${row.published_text}`,
      isNumber(row.difference) ? ` (${row.difference > 0 ? "+" : ""}${minus(row.difference.toFixed(2))}${row.agreement ? ", " + row.agreement : ""})` : "") : null);
}
function caption(a) {
  return el("p", { class: "caption" }, `${a.where.slice(0, 1).toUpperCase()}${a.where.slice(1)}. ${a.caption}`);
}
function sources(a) {
  return el("p", { class: "faint" }, "Files: ", Object.values(a.files).flatMap((path, i) => [i ? ", " : "", file(path)]),
    "; made by ", jobLink(a.job), "; code ", el("code", {}, a.function), " ", el("code", {}, D.jobs[a.job].code));
}
