"""The results of a scale as an RO-Crate: what was made, by which workflow, from what.

Writes `ro-crate-metadata.json` (RO-Crate 1.1, profile Workflow Run Crate 0.5) into the folder of
results, which thereby becomes a crate that archives and WorkflowHub read. Files, hashes and
inputs are those of the manifest; nothing is measured again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from firstorder import __version__, files
from firstorder.jobs import ledger
from firstorder.publish import grid
from firstorder.publish.codecheck import codecheck, named
from firstorder.publish.manifest import read as read_manifest

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

Entity = dict[str, Any]

CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
]
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    WORKFLOW_CRATE: "Workflow RO-Crate",
}
TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
}
README = """# firstorder, results of scale {scale}

Open `index.html` in a browser: what held, every table and curve, and the runs behind a number.
`paper.pdf` is the replication report, `claims.html` has every claim with its verdict, `tables/` and
`figures/` every table and figure with its data as CSV. `manifest.json` has the hash of every file,
`ro-crate-metadata.json` the same for archives, `codecheck.yml` for who checks.

Data: {data}. Commit {commit}.
"""
"""Of the folder of results."""
SNAKEFILE = "workflow/Snakefile"
"""The copy in the crate; RO-Crate names files below its own folder only."""


def crate(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write ro-crate-metadata.json, README.md, codecheck.yml and the Snakefile that it describes.

    Raises DataError when the manifest is missing or damaged.
    """
    manifest = read_manifest(inputs["manifest"])
    citation = yaml.safe_load(Path(inputs["CITATION.cff"]).read_text(encoding="utf-8"))
    files.write_bytes(outputs["snakefile"], Path(inputs["Snakefile"]).read_bytes())
    folder = Path(inputs["manifest"]).parent
    files.write_text(outputs["codecheck"], codecheck(manifest, folder, citation))
    files.write_text(
        outputs["readme"],
        README.format(**{**manifest, "data": grid.markdown_text(manifest["data"])}),
    )
    files.write_json(outputs["crate"], document(spec, inputs, manifest, citation))


def document(
    spec: Mapping[str, Any], inputs: Files, manifest: dict[str, Any], citation: dict[str, Any]
) -> Entity:
    """The crate as JSON-LD: a flat list of entities that name each other by `@id`."""
    folder = Path(inputs["manifest"]).parent
    results = [*_published(folder, manifest), *_whole(inputs)]
    hashes = manifest["files"]
    inputs_of = {path for result in manifest["results"].values() for path in result["inputs"]}
    read = [_file(folder, path, hashes[path]) for path in sorted(inputs_of) if path in hashes]
    outside = [each for each in read if each["@id"].startswith("#")]
    agent = {"@id": "#agent", "@type": "Person", "name": spec["agent"]} if spec["agent"] else None
    by = {"agent": {"@id": "#agent"}} if agent else {}
    actions = [{**each, **by} for each in _actions(folder, manifest)]
    licence = f"https://spdx.org/licenses/{citation['license']}"
    authors = [{"@id": f"#author-{index}"} for index in range(len(citation["authors"]))]
    works = list(_works(citation))
    made = max((_changed(folder / each["@id"]) for each in results), default=0.0)
    when = _moment(made)
    values = list(_settings(spec["settings"]))
    ran = [time for name in manifest["jobs"] if (time := _times(folder, name))]
    run: Entity = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"The workflow at scale {manifest['scale']}",
        "description": (
            f"Snakemake ran {len(manifest['jobs'])} jobs from raw data to tables, figures and "
            f"claims, with {manifest['device']}."
        ),
        "instrument": {"@id": SNAKEFILE},
        "object": _references([*values, *outside]),
        "result": _references(results),
        **({"startTime": min(time["startTime"] for time in ran)} if ran else {}),
        "endTime": when,
        **by,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"firstorder, results of scale {manifest['scale']}",
        "description": f"{citation['title']}. Data of this scale: {manifest['data']}.",
        "datePublished": when,
        "license": {"@id": licence},
        "author": authors,
        "conformsTo": [{"@id": profile} for profile in PROFILES],
        "citation": _references(works),
        "mainEntity": {"@id": SNAKEFILE},
        "mentions": _references([run, *actions]),
        "hasPart": _references(
            [
                {"@id": SNAKEFILE},
                {"@id": "README.md"},
                *results,
                *(each for each in read if each not in outside),
            ]
        ),
    }
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [{"@id": CRATE}, {"@id": WORKFLOW_CRATE}],
        },
        root,
        *_workflow(
            inputs["Snakefile"], manifest, licence, authors, citation.get("repository-code")
        ),
        _readme(folder),
        run,
        *actions,
        *results,
        *read,
        *values,
        *works,
        *(
            {"@id": reference["@id"], "@type": _kind(author), "name": named(author)}
            for reference, author in zip(authors, citation["authors"], strict=True)
        ),
        {"@id": licence, "@type": "CreativeWork", "name": f"{citation['license']} License"},
        *(
            {"@id": key, "@type": "CreativeWork", "name": name, "version": key.rpartition("/")[2]}
            for key, name in PROFILES.items()
        ),
    ]
    if agent:
        graph.append(agent)
    return {"@context": CONTEXT, "@graph": [_compact(entity) for entity in graph]}


def _compact(entity: Entity) -> Entity:
    """Lists of one as the one, as RO-Crate asks."""
    alone = {key: each for key, each in entity.items() if isinstance(each, list) and len(each) == 1}
    return entity | {key: each[0] for key, each in alone.items()}


def _kind(author: dict[str, str]) -> str:
    return "Organization" if "name" in author else "Person"


def _readme(folder: Path) -> Entity:
    path = folder / "README.md"
    return {**_file(folder, str(path), files.sha256(path)), "about": {"@id": "./"}}


def _published(folder: Path, manifest: dict[str, Any]) -> Iterator[Entity]:
    """The files that people read: tables, figures, claims."""
    for result in manifest["results"].values():
        for path, digest in result["files"].items():
            name = f"{result['title']} ({result['where']})"
            yield {**_file(folder, path, digest), "name": name}
    for path, digest in manifest["claims"].items():
        yield {**_file(folder, path, digest), "name": "The papers' claims, with verdicts"}


def _whole(inputs: Files) -> Iterator[Entity]:
    """What is made of all results: the paper, and the manifest itself."""
    folder = Path(inputs["manifest"]).parent
    titles = {"paper": "The replication report", "manifest": "Hashes of all results"}
    for key, name in titles.items():
        path = inputs[key]
        if Path(path).is_file():
            yield {**_file(folder, path, files.sha256(path)), "name": name}


def _actions(folder: Path, manifest: dict[str, Any]) -> Iterator[Entity]:
    """How every table and figure was made: from which records, by which code."""
    makers = {path: name for name, job in manifest["jobs"].items() for path in job["outputs"]}
    for name, result in manifest["results"].items():
        job = makers[next(iter(result["files"]))]
        entry = ", ".join(manifest["jobs"][job]["entries"])
        yield {
            "@id": f"#{name}",
            "@type": "CreateAction",
            "name": f"Made the {result['kind']} “{result['title']}”",
            "description": f"{entry} of code {result['code']}, on {len(result['inputs'])} files.",
            **_times(folder, job),
            "instrument": {"@id": "#firstorder"},
            "object": [{"@id": _identifier(folder, path)} for path in result["inputs"]],
            "result": [{"@id": _identifier(folder, path)} for path in result["files"]],
        }


def _times(folder: Path, name: str) -> dict[str, str]:
    """When a job began and ended, as the ledger has it; empty for one without an entry."""
    path = ledger.place(str(folder), name)
    entry = ledger.read(path)
    if entry is None:
        return {}
    ended = path.stat().st_mtime
    return {"startTime": _moment(ended - entry.seconds), "endTime": _moment(ended)}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _workflow(
    snakefile: str,
    manifest: dict[str, Any],
    licence: str,
    authors: list[Entity],
    address: str | None,
) -> Iterator[Entity]:
    """The workflow, its language, and the program that its rules call."""
    commit = manifest["commit"] + (" with changes" if manifest["dirty"] else "")
    yield {
        "@id": SNAKEFILE,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "Snakefile of firstorder",
        "description": "Its rules and the code that they call are those of the named commit.",
        "version": f"{__version__}, commit {commit}",
        "encodingFormat": "text/plain",
        "conformsTo": {"@id": BIOSCHEMAS},
        "programmingLanguage": {"@id": "#snakemake"},
        "license": {"@id": licence},
        "author": authors,
        "sha256": files.sha256(snakefile),
    }
    yield {
        "@id": "#snakemake",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
        "version": manifest["packages"].get("snakemake", "unknown"),
    }
    packages = ", ".join(
        f"{name} {manifest['packages'][name]}"
        for name in ("torch", "numpy", "scipy")
        if name in manifest["packages"]
    )
    yield {
        "@id": "#firstorder",
        "@type": "SoftwareApplication",
        "name": "firstorder",
        **({"url": {"@id": address}} if address else {}),
        "softwareVersion": f"{__version__}, commit {commit}",
        "softwareRequirements": packages,
    }


def _settings(settings: Mapping[str, str]) -> Iterator[Entity]:
    """What the user chose, as values."""
    for name, value in settings.items():
        yield {"@id": f"#setting-{name}", "@type": "PropertyValue", "name": name, "value": value}


def _works(citation: dict[str, Any]) -> Iterator[Entity]:
    """The papers of the studies."""
    for reference in citation.get("references", ()):
        number = str(reference["identifiers"][0]["value"]).removeprefix("arXiv:")
        yield {
            "@id": f"https://arxiv.org/abs/{number}",
            "@type": "ScholarlyArticle",
            "name": " ".join(reference["title"].split()),
            "author": "; ".join(map(named, reference["authors"])),
            "datePublished": str(reference["year"]),
        }


def _file(folder: Path, path: str, digest: str) -> Entity:
    """A file of the crate; what lies elsewhere is named and hashed but is no part of it."""
    identifier = _identifier(folder, path)
    if identifier.startswith("#"):
        return {"@id": identifier, "@type": "CreativeWork", "name": path, "sha256": digest}
    entity: Entity = {"@id": identifier, "@type": "File", "name": identifier, "sha256": digest}
    suffix = Path(path).suffix
    if suffix in TYPES:
        entity["encodingFormat"] = TYPES[suffix]
    if Path(path).is_file():
        entity["contentSize"] = str(os.stat(path).st_size)
    return entity


def _identifier(folder: Path, path: str) -> str:
    """A path relative to the crate's folder, or a fragment for what lies outside it."""
    whole, root = Path(path).absolute(), folder.absolute()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else f"#{path}"


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def _references(entities: Iterable[Entity]) -> list[Entity]:
    return [{"@id": each["@id"]} for each in entities]
