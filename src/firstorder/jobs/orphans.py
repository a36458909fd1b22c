"""Files below a folder of results that no job of the configuration makes any more.

A loss, noise or artefact that is removed from `config/` leaves its files: they are read by nothing,
and whoever opens one takes it for a result of today. Studies may be run one by one into one folder:
what `config/` declares for a study that is not chosen now is known too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from firstorder.errors import ConfigError
from firstorder.jobs import ledger, provenance
from firstorder.jobs.paths import paths
from firstorder.jobs.plan import Plan, make

OTHERS = ("checkpoints", "report.html")
"""What the run itself keeps there; hidden files are kept too."""


def orphans(plan: Plan) -> Iterator[Path]:
    """The files of the scale's results that are no output, log or ledger entry of a job.

    Raises ConfigError where what nobody could make again lies among them, and where a study that is
    not chosen cannot be planned: its files would not be known.
    """
    config, places = plan.config, paths(plan.config)
    own = [Path.cwd(), config.root, Path(config.settings.resources), provenance.ROOT]
    own += [Path(each.path).expanduser() for each in config.datasets.values() if each.path]
    for path in own:
        if path.resolve().is_relative_to(Path(places.root).resolve()):
            raise ConfigError(
                f"{config.root}/config.yaml: results: {path} lies in {places.root}, which results "
                "do not have for themselves; set another folder"
            )
    known = {path for each in _plans(plan) for path in _files(each)}
    for path in sorted(Path(places.root).rglob("*")):
        parts = path.relative_to(places.root).parts
        kept = parts[0] in OTHERS or any(part.startswith(".") for part in parts)
        if not kept and str(path) not in known and not path.is_dir():
            yield path


def _plans(plan: Plan) -> Iterator[Plan]:
    """The plan, and one of each other study that `config/` declares at the scale.

    One by one: studies that are never chosen together may have steps of one name.
    """
    yield plan
    settings = plan.config.settings
    for file in sorted((plan.config.root / "studies").glob("*/study.yaml")):
        name = file.parent.name
        if name not in settings.studies and file.with_name(f"{settings.scale}.yaml").is_file():
            yield make(plan.config.root, {**settings.model_dump(), "studies": [name]})


def _files(plan: Plan) -> Iterator[str]:
    """All files that the jobs of a plan read or leave."""
    places = paths(plan.config)
    yield from plan.makers()
    for job in plan.jobs().values():
        yield from job.inputs.values()
        yield places.log(job.step, *job.key)
        yield str(ledger.place(places.root, ledger.name(job)))


def delete(root: str, found: list[Path]) -> None:
    """Delete orphans, and the folders below `root` that are empty then."""
    for path in found:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == Path(root) or any(folder.iterdir()):
                break
            folder.rmdir()
