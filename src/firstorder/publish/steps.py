"""The steps that publish what the studies made: tables, figures, claims, manifest, crate, paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from firstorder.config import Config, ConfigError, choose, lookup
from firstorder.jobs import provenance
from firstorder.jobs import study as studies
from firstorder.jobs.code import code
from firstorder.jobs.job import Demand, Files, Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Step, step
from firstorder.publish import declared, origins
from firstorder.publish.registry import PUBLISHED

check = declared.check
LIGHT = Demand(megabytes=1500, minutes=10)
CLAIMS = ("html", "csv", "md")
PAPER = "paper/main.typ"
FEW = 3
"""Artefacts of one place in a paper, at most."""
PARTS = ("*.typ", "*.bib")
"""Of the files beside it: what it includes."""


def _artefact_outputs(kind: str) -> Any:
    def outputs(config: Config, study: str, artefact: str) -> Files:
        return paths(config).artefact(study, artefact, kind)

    return outputs


def _artefact_job(kind: str) -> Any:
    def job(config: Config, study: str, artefact: str) -> Job:
        own = lookup(config.studies, study, "study", f"{config.root}/config.yaml: studies")
        known = {name: each for name, each in own.declared.artefacts.items() if each.kind == kind}
        if artefact not in known:
            raise ConfigError(
                f"{study} has no {kind} {artefact!r}; {choose(artefact, sorted(known))}"
            )
        return _job(config, study, artefact, known[artefact])

    return job


def _job(config: Config, study: str, name: str, artefact: Any) -> Job:
    kind, scale = artefact.kind, config.settings.scale
    found, selected = declared.resolve(config, study, kind, artefact.draw, artefact.select)
    inputs = dict(selected.files)
    if artefact.published:
        inputs[PUBLISHED] = str(declared.published(config, artefact.published))
    printed = {
        "label": f"{study}-{name}",
        "title": artefact.title,
        "caption": declared.caption(artefact.caption, scale, selected),
    }
    return Job(
        step=kind,
        key=(study, name),
        # A table prints its title and caption; a figure leaves them to what shows it.
        spec={
            **declared.spec(found, selected, artefact.options),
            **(printed | {"latex": artefact.latex.model_dump()} if kind == "table" else {}),
        },
        inputs=inputs,
        outputs=paths(config).artefact(study, name, kind),
        code=(f"firstorder.publish.{kind}s:{kind}", found.entry, *selected.code),
        demand=LIGHT,
        aside={
            "title": artefact.title,
            "caption": " ".join(artefact.caption.split()),
            "where": artefact.where,
            "scale": scale,
            "data": selected.data,
            "datasets": selected.datasets,
            "seeds": ", ".join(map(str, selected.seeds)) or "none",
            "study": config.studies[study].declared.title,
            "printed": printed,
        },
    )


def _every(kind: str) -> Any:
    def every(config: Config) -> Iterator[tuple[str, str]]:
        for study, name, artefact in declared.artefacts(config):
            if artefact.kind == kind:
                yield study, name

    return every


def artefact_jobs(config: Config) -> list[Job]:
    """The jobs of all tables and figures, in the order of their declaration."""
    return [_job(config, *each) for each in declared.artefacts(config)]


def _once(config: Config) -> Iterator[tuple[str, ...]]:
    yield ()


def _claims_outputs(config: Config) -> Files:
    return {suffix: paths(config).claims(suffix) for suffix in CLAIMS}


def _claims_job(config: Config) -> Job:
    return _claims(config, artefact_jobs(config))


def _claims(config: Config, artefacts: list[Job]) -> Job:
    inputs: dict[str, str] = {}
    entries = ["firstorder.publish.judge:claims"]
    listed = []
    datasets: dict[str, list[str]] = {}
    drawn = {job.aside["printed"]["label"]: job for job in artefacts}
    read = {name: frozenset(job.inputs.values()) for name, job in drawn.items()}
    placed = _places(artefacts)
    for study in studies.chosen(config):
        own = config.studies[study.name].declared
        for name, claim in own.claims.items():
            found, selected = declared.resolve(
                config, study.name, "claim", claim.predicate, claim.select
            )
            if selected.available:
                inputs |= {f"{study.name}/{key}": path for key, path in selected.files.items()}
                entries += [found.entry, *selected.code]
                datasets.setdefault(study.name, []).extend(selected.datasets)
            listed.append(
                {
                    **declared.spec(found, selected, claim.options),
                    "files": list(selected.files) if selected.available else [],
                    "study": study.name,
                    "study_title": own.title,
                    "study_paper": " ".join(own.paper.split()),
                    "claim": name,
                    "title": claim.title,
                    "where": claim.where,
                    "by": claim.by,
                    "since": claim.since,
                    "history": list(claim.history),
                    "available": selected.available,
                    "related": [
                        {"id": name, "kind": drawn[name].step, "title": drawn[name].aside["title"]}
                        for name in origins.related(
                            selected.files.values(), read, placed.get((study.name, claim.where), ())
                        )
                    ],
                }
            )
    return Job(
        step="claims",
        key=(),
        spec={
            "scale": config.settings.scale,
            "data": _in_words(name for names in datasets.values() for name in names),
            "claims": listed,
        },
        inputs=inputs,
        outputs=_claims_outputs(config),
        code=tuple(dict.fromkeys(entries)),
        demand=LIGHT,
        aside={"datasets": datasets},
    )


def _places(artefacts: list[Job]) -> dict[tuple[str, str], list[str]]:
    """(study, place in its paper) -> what is of it: `Figure 2` and `Figure 2, as numbers`."""
    found: dict[tuple[str, str], list[str]] = {}
    for job in artefacts:
        place = job.aside["where"].split(",")[0]
        found.setdefault((job.key[0], place), []).append(job.aside["printed"]["label"])
    # "Beyond the paper" is said of many, and is no place.
    return {place: names for place, names in found.items() if len(names) <= FEW}


def _data(config: Config, artefacts: list[Job], claims: Job, *chosen: str) -> str:
    """What tables, figures and claims of `chosen` studies, or of all, are drawn from."""
    wanted = chosen or config.settings.studies
    drawn = (name for job in artefacts if job.key[0] in wanted for name in job.aside["datasets"])
    judged = (name for study in wanted for name in claims.aside["datasets"].get(study, ()))
    return _in_words((*drawn, *judged))


def _in_words(datasets: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(datasets)) or "none"


def _published_files(config: Config, artefacts: list[Job]) -> dict[str, str]:
    """All files of tables, figures and claims."""
    found = {path: path for job in artefacts for path in job.outputs.values()}
    return found | {path: path for path in _claims_outputs(config).values()}


def _manifest_outputs(config: Config) -> Files:
    return {"manifest": paths(config).manifest}


def _manifest_job(config: Config) -> Job:
    drawn = artefact_jobs(config)
    return Job(
        step="manifest",
        key=(),
        spec={
            "scale": config.settings.scale,
            "data": _data(config, drawn, _claims(config, drawn)),
            "device": config.settings.device,
            "jobs": [_listed(job) for job in _recorded_jobs(config)],
        },
        inputs=_published_files(config, drawn),
        outputs=_manifest_outputs(config),
        code=("firstorder.publish.manifest:manifest",),
        demand=LIGHT,
    )


def _recorded_jobs(config: Config) -> Iterator[Job]:
    """All jobs but those that come after the manifest."""
    for each in studies.steps(config).values():
        if each.name not in LAST:
            for key in each.every(config):
                yield each.make(config, *key)


OF_PROJECT = ("CITATION.cff", "Snakefile")
"""The files of the project that the crate tells of."""
LAST = ("manifest", "crate", "paper", "page")


def _listed(job: Job) -> dict[str, Any]:
    return {
        "step": job.step,
        "key": list(job.key),
        "spec": job.spec_digest,
        "code": code(*job.code),
        "entries": list(job.code),
        "inputs": list(job.inputs.values()),
        "outputs": list(job.outputs.values()),
        "receipt": job.outputs.get("receipt"),
        "data": bool(job.aside.get("data")),
        **{name: job.aside[name] for name in ("title", "where") if name in job.aside},
    }


def _crate_outputs(config: Config) -> Files:
    root = paths(config).root
    return {
        "crate": paths(config).crate,
        "snakefile": f"{root}/workflow/Snakefile",
        "codecheck": f"{root}/codecheck.yml",
        "readme": f"{root}/README.md",
    }


def _crate_job(config: Config) -> Job:
    settings = config.settings
    chosen = {"scale": settings.scale, "studies": ", ".join(settings.studies)}
    return Job(
        step="crate",
        key=(),
        spec={"settings": {**chosen, "device": settings.device}, "agent": settings.agent},
        inputs={
            "manifest": paths(config).manifest,
            "paper": paths(config).paper,
            **{name: provenance.relative(str(provenance.ROOT / name)) for name in OF_PROJECT},
        },
        outputs=_crate_outputs(config),
        code=("firstorder.publish.crate:crate",),
        demand=LIGHT,
    )


def _paper_outputs(config: Config) -> Files:
    return {"paper": paths(config).paper, "contents": paths(config).paper[: -len("pdf")] + "json"}


def _listed_studies(config: Config, artefacts: list[Job]) -> list[dict[str, Any]]:
    """What paper and page print of every study and of its tables and figures, in order."""
    return [
        {
            "name": study,
            "title": config.studies[study].declared.title,
            "paper": " ".join(config.studies[study].declared.paper.split()),
            "artefacts": [
                {
                    "id": job.aside["printed"]["label"],
                    "kind": job.step,
                    "title": job.aside["title"],
                    "where": job.aside["where"],
                    "files": {name: _below(config, path) for name, path in job.outputs.items()},
                    **_caption(job),
                }
                for job in artefacts
                if job.key[0] == study
            ],
        }
        for study in config.settings.studies
    ]


def _caption(job: Job) -> dict[str, str]:
    """The caption of a figure; that of a table is in its files, with what the step found."""
    return {"caption": job.aside["printed"]["caption"]} if job.step == "figure" else {}


def _paper_job(config: Config) -> Job:
    drawn = artefact_jobs(config)
    functions = {job.aside["printed"]["label"]: job.spec["function"] for job in drawn}
    claims = _claims(config, drawn)
    judged = claims.spec["claims"]
    listed = _listed_studies(config, drawn)
    for study in listed:
        study["protocol"] = list(studies.find(study["name"]).protocol(config))
        for artefact in study["artefacts"]:
            artefact["study"] = study["name"]
            artefact["code"] = functions[artefact["id"]]
            artefact["claims"] = [
                claim["claim"]
                for claim in judged
                if claim["study"] == study["name"]
                and artefact["id"] in {related["id"] for related in claim["related"]}
            ]
    return Job(
        step="paper",
        key=(),
        spec={
            "scale": config.settings.scale,
            "data": _data(config, drawn, claims),
            "studies": listed,
        },
        inputs={**_published_files(config, drawn), "source": PAPER, **_parts()},
        outputs=_paper_outputs(config),
        code=("firstorder.publish.paper:paper",),
        demand=LIGHT,
    )


def _parts() -> dict[str, str]:
    """What the paper includes, by name."""
    found = (path for pattern in PARTS for path in Path(PAPER).parent.glob(pattern))
    return {path.name: str(path) for path in sorted(found) if str(path) != PAPER}


def _page_outputs(config: Config) -> Files:
    return {"page": paths(config).page}


def _page_job(config: Config) -> Job:
    drawn = artefact_jobs(config)
    claims, studies_listed = _claims(config, drawn), _listed_studies(config, drawn)
    jobs = {job.aside["printed"]["label"]: job for job in drawn}
    shown = [each for study in studies_listed for each in study["artefacts"]]
    return Job(
        step="page",
        key=(),
        spec={
            "scale": config.settings.scale,
            "data": _data(config, drawn, claims),
            "studies": [
                {
                    **{name: study[name] for name in ("name", "title", "paper")},
                    "data": _data(config, drawn, claims, study["name"]),
                    "seeds": _seeds(jobs[each["id"]] for each in study["artefacts"]),
                }
                for study in studies_listed
            ],
            "artefacts": [{**each, **_behind(jobs[each["id"]])} for each in shown],
            "claims": [
                {
                    **{name: claim[name] for name in ("study", "claim", "function")},
                    "files": [f"{claim['study']}/{name}" for name in claim["files"]],
                    "related": [each["id"] for each in claim["related"]],
                }
                for claim in claims.spec["claims"]
            ],
            "claim_files": list(claims.inputs),
        },
        inputs={
            **_published_files(config, drawn),
            "claims": paths(config).claims("csv"),
            "manifest": paths(config).manifest,
        },
        outputs=_page_outputs(config),
        code=("firstorder.publish.page:page", "firstorder.publish:assets"),
        demand=LIGHT,
    )


def _seeds(jobs: Iterable[Job]) -> list[int]:
    """How many seeds artefacts draw on, each number once, in order."""
    named = {job.aside["seeds"] for job in jobs} - {"none"}
    return sorted({len(seeds.split(", ")) for seeds in named})


def _behind(job: Job) -> dict[str, Any]:
    """What the page says of how a table or a figure came about, with the names of what it read."""
    return {
        "study": job.key[0],
        "key": list(job.key),
        "function": job.spec["function"],
        "selected": job.spec["selected"],
        "names": [None if name == PUBLISHED else name for name in job.inputs],
    }


def _below(config: Config, path: str) -> str:
    return path.removeprefix(f"{paths(config).root}/")


DRAWING = ("firstorder.publish.tables", "firstorder.publish.figures")
"""What one process imports for all tables and figures of a run."""
HERE = "firstorder.publish"
ARTEFACT = ("study", "artefact")


def _artefact_step(kind: str, help: str) -> Step:
    return step(
        f"{HERE}.{kind}s:{kind}", ARTEFACT,
        _artefact_outputs(kind), _artefact_job(kind), _every(kind), DRAWING, help=help,
    )  # fmt: skip


STEPS = (
    _artefact_step("table", "Make a table of a STUDY from its records."),
    _artefact_step("figure", "Draw a figure of a STUDY from its records."),
    step(
        f"{HERE}.judge:claims", (), _claims_outputs, _claims_job, _once,
        help="Judge every claim.",
    ),
    step(
        f"{HERE}.manifest:manifest", (), _manifest_outputs, _manifest_job, _once,
        help="Map every file to what it was made from.",
    ),
    step(
        f"{HERE}.crate:crate", (), _crate_outputs, _crate_job, _once,
        help="Describe the results as an RO-Crate.",
    ),
    step(
        f"{HERE}.paper:paper", (), _paper_outputs, _paper_job, _once,
        help="Compile the replication report.",
    ),
    step(
        f"{HERE}.page:page", (), _page_outputs, _page_job, _once,
        help="Write the page of the scale.",
    ),
)  # fmt: skip
