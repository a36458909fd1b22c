// From a number to its runs.

// The files of an artefact have names of parts (`digits/symmetric-0.4/ce/1/summary.json`); those
// behind a row have every part that the row's values are, or are the titles of.
function origin(artefact, row) {
  const parts = artefact.names.map(([name]) => {
    const found = name.split("/");
    return new Set([...found, found.at(-1).replace(/\.[^.]*$/, "")]);
  });
  const known = new Set(parts.flatMap(each => [...each]));
  const wanted = new Set();
  for (const [column, value] of Object.entries(row)) {
    if (value === null || value === "" || value === undefined) continue;
    const text = String(value);
    if (column === "seed" || (typeof value === "string" && known.has(text))) { if (known.has(text)) wanted.add(text); }
    else if (typeof value === "string") for (const part of artefact.aliases[text] ?? []) wanted.add(part);
  }
  const exact = artefact.names.filter((_, i) => [...wanted].every(part => parts[i].has(part)));
  const found = exact.length ? exact : artefact.names;
  return { files: [...new Set(found.map(([, at]) => at))], narrowed: exact.length > 0 && wanted.size > 0 };
}
function ancestors(job) {
  const seen = new Set(), waiting = [job];
  while (waiting.length) {
    const at = waiting.pop();
    if (seen.has(at)) continue;
    seen.add(at);
    for (const path of D.jobs[at].inputs) if (D.files[path].job !== null) waiting.push(D.files[path].job);
  }
  seen.delete(job);
  return [...seen];
}
const isRoot = at => !D.jobs[at].inputs.some(path => D.files[path].job !== null);

function codeOf(job) {
  return el("ul", { class: "plain" }, job.entries.map(entry => el("li", {}, el("code", {}, entry))),
    el("li", { class: "faint" }, `digest of this code and all that it calls: ${job.code}`));
}
function fileLine(at) {
  const f = D.files[at];
  return el("li", {}, f.below ? file(f.below) : el("code", {}, f.path), " ",
    el("code", { class: "faint" }, f.sha256 ? `sha256 ${f.sha256}` : "not in the manifest"));
}
function jobLink(at) { return link(D.jobs[at].name, () => go({ run: D.jobs[at].name, cell: "" }), { "data-job": D.jobs[at].name }); }
function jobList(list) {
  const shown = list.slice(0, 40);
  return [el("ul", { class: "plain" }, shown.map(at => el("li", {}, jobLink(at)))),
    list.length > shown.length ? el("p", { class: "faint" }, `and ${list.length - shown.length} more (see Runs)`) : null];
}
function filesAndJobs(found) {
  const jobs = [...new Set(found.files.map(at => D.files[at].job).filter(at => at !== null))];
  const roots = [...new Set(jobs.flatMap(at => [at, ...ancestors(at)]).filter(isRoot))];
  return [el("h3", {}, found.narrowed ? "Runs behind this number" : "Runs behind this result"), jobList(jobs),
    el("h3", {}, `Files read (${found.files.length})`), el("ul", { class: "plain" }, found.files.slice(0, 24).map(fileLine)),
    found.files.length > 24 ? el("p", { class: "faint" }, `and ${found.files.length - 24} more, listed in manifest.json`) : null,
    el("h3", {}, "Raw data"), roots.map(rawData)];
}
function rawData(at) {
  const job = D.jobs[at];
  return el("div", {}, jobLink(at), el("ul", { class: "plain" },
    job.raw ? el("li", {}, el("code", {}, job.raw.path), " ", el("code", { class: "faint" }, `sha256 ${job.raw.sha256}`)) : null,
    job.inputs.concat(job.outputs).slice(0, 6).map(fileLine)));
}
function showRun(name) {
  const at = D.jobs.findIndex(job => job.name === name);
  if (at < 0) return [el("p", {}, `No run is called ${name}.`)];
  const job = D.jobs[at], past = ancestors(at), roots = (past.length ? past : [at]).filter(isRoot);
  const took = job.seconds === null ? "not in the ledger" : `${short(job.seconds)} s on ${job.device}`;
  return [el("h2", {}, job.name), el("h3", {}, "Command"), el("pre", { id: "command" }, job.command),
    el("dl", {}, el("dt", {}, "Log"), el("dd", {}, file(job.log)), el("dt", {}, "Took"), el("dd", {}, took),
      el("dt", {}, "Values (spec)"), el("dd", {}, el("code", {}, job.spec))),
    el("h3", {}, "Code"), codeOf(job),
    el("h3", {}, `Made (${job.outputs.length})`), el("ul", { class: "plain" }, job.outputs.slice(0, 40).map(fileLine)),
    el("h3", {}, `Read (${job.inputs.length})`),
    jobList([...new Set(job.inputs.map(p => D.files[p].job).filter(j => j !== null))]),
    el("h3", {}, "Raw data"), roots.map(rawData)];
}
function showCell(spec) {
  const [id, at] = spec.split("|"), artefact = byId(id), row = artefact && rows(artefact)[Number(at)];
  if (!row) return [el("p", {}, "This number is not here any more.")];
  const said = [["Value", row.text], ["Full digits", row.mean], ["Standard deviation", row.std], ["Seeds", row.n],
    ["By seed", row.seeds], ["Published", row.published_text], ["Source", row.source],
    ["Difference", isNumber(row.difference) ? short(row.difference) : ""], ["Agreement", row.agreement]];
  return [el("h2", {}, [row.section, row.row, row.column].filter(Boolean).join(" · ")),
    el("dl", {}, said.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))])),
    made(artefact), filesAndJobs(origin(artefact, row))];
}
function showSeries(spec) {
  const [id, text] = spec.split("|"), artefact = byId(id);
  if (!artefact) return [];
  const row = Object.fromEntries(new URLSearchParams(text));
  return [el("h2", {}, Object.values(row).join(" · ")), made(artefact), filesAndJobs(origin(artefact, row))];
}
function made(artefact) {
  return el("p", {}, "In ", el("em", {}, artefact.title), ", made by ", jobLink(artefact.job), ".");
}
function drawDetail() {
  const panel = document.getElementById("detail"), s = state();
  const content = s.run ? showRun(s.run) : s.cell ? showCell(s.cell) : s.series ? showSeries(s.series) : null;
  panel.hidden = content === null;
  panel.replaceChildren(...(content === null ? [] :
    [link("✕", () => go({ run: "", cell: "", series: "" }), { class: "link close", "aria-label": "Close" }),
      ...content.flat(Infinity).filter(Boolean)]));
}
