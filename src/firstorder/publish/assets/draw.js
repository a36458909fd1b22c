// Figures, runs, and the drawing of the chosen view.

function figures() {
  const s = state(), wanted = (s.q ?? "").toLowerCase();
  const all = D.artefacts.filter(a => a.kind === "figure" && (!s.study || a.study === s.study) && (!s.id || a.id === s.id)
    && `${a.title} ${a.caption}`.toLowerCase().includes(wanted)), can = new Set(drawable().map(a => a.id));
  return [el("div", { class: "controls" }, searcher(),
    chooser("Study", "study", ["", ...D.studies.map(x => x.name)], s.study ?? "", v => v ? studyTitle(v) : "all"),
    s.id ? el("button", { type: "button", onclick: () => go({ id: "" }) }, "All figures") : null),
    all.map(a => el("figure", { id: a.id }, el("h2", {}, a.title), el("img", { src: a.files.svg, alt: a.title, loading: "lazy" }),
      el("figcaption", {}, caption(a), can.has(a.id) ? link("Draw its data with choosers", () => fresh("curves", { id: a.id })) : null, sources(a))))];
}
function runs() {
  const s = state(), wanted = (s.q ?? "").toLowerCase().split(/\s+/);
  const keys = { Run: j => j.name, Step: j => j.step, Seconds: j => j.seconds, Device: j => j.device, Code: j => j.code };
  const found = D.jobs.map((job, at) => ({ ...job, at })).filter(j => (!s.step || j.step === s.step) && wanted.every(w => j.name.toLowerCase().includes(w)));
  const list = s.sort in keys ? sorted(found, keys[s.sort], s.dir === "desc") : found;
  return [el("div", { class: "controls" }, searcher(), chooser("Step", "step", ["", ...new Set(D.jobs.map(j => j.step))], s.step ?? "", v => v || "all"),
    el("button", { type: "button", onclick: () => download("runs.csv", ["run", "command", "code", "seconds", "device"], list.map(j => [j.name, j.command, j.code, j.seconds, j.device])) }, "CSV of what is shown")),
    el("p", { class: "faint" }, `${list.length} of ${D.jobs.length} runs`),
    el("div", { class: "wide" }, el("table", { id: "runs" }, el("thead", {}, el("tr", {}, Object.keys(keys).map(k => header(k, k === "Seconds")))),
      el("tbody", {}, list.map(j => el("tr", {}, el("td", {}, jobLink(j.at)), el("td", {}, j.step), el("td", { class: "number" }, short(j.seconds)), el("td", {}, j.device ?? ""), el("td", {}, el("code", {}, j.code)))))))];
}

const DRAW = { overview, claims, tables, curves, figures, runs };
let drawn = null;
function draw() {
  const s = state(), view = s.view in DRAW ? s.view : "overview", main = document.getElementById("main");
  const { run, cell, series, ...rest } = s, name = JSON.stringify(rest);
  if (name !== drawn) {  // a panel that opens leaves the view as it is
    const field = document.activeElement?.name, at = document.activeElement?.selectionStart;
    main.replaceChildren(...DRAW[view]().flat(Infinity).filter(child => child !== null && child !== undefined && child !== ""));
    const again = field && main.querySelector(`[name="${CSS.escape(field)}"]`);
    if (again) { again.focus(); if (again.type === "search") again.setSelectionRange(at, at); }
    document.getElementById("views").replaceChildren(...Object.entries(VIEWS).map(([key, title]) =>
      el("button", { type: "button", "aria-current": key === view ? "page" : null, onclick: () => fresh(key) }, title)));
    drawn = name;
  }
  drawDetail();
}
document.getElementById("about").textContent = D.about;
addEventListener("hashchange", draw);
addEventListener("keydown", e => { if (e.key === "Escape") go({ run: "", cell: "", series: "" }); });
draw();
