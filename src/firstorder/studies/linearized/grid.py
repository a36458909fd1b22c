"""What is run: the initialisations, and the trainings on them that selections lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from firstorder.config import Config, ConfigError
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Selected
from firstorder.publish import declared
from firstorder.publish.protocol import Row, examples, trained
from firstorder.studies.linearized.settings import (
    Directions,
    Family,
    Judged,
    LinearizedScale,
    LinearizedStudy,
    Select,
    Support,
)

NAME = "linearized"
GAUSSIAN = "gaussian"
"""In place of a support, of families whose inputs are drawn and not taken from a dataset."""


def _of_arms(*arms: str) -> tuple[str, ...]:
    """The files of arms: epochs, record, and which test examples are right."""
    return tuple(f"{arm}.{end}" for arm in arms for end in ("csv", "json", "npz"))


ROTATED = ("retrained", "retrained-scaled", "linear0-scaled", "retrained-converged")
"""The arms of `rotate`, which a family may run on some of its tasks alone."""
FILES = {
    "compute_kernel": ("init.safetensors", "outputs.npy", "kernel.npy"),
    "decompose": ("spectrum.npz", "gradients.csv", "inductive.npz"),
    "linearize": _of_arms("linear", "linear0", "converged", "converged0", "ridge"),
    "fit": (
        *_of_arms("network", "random"), "networks.safetensors", "evolution.csv", "energy.csv",
    ),
    "rotate": (
        *_of_arms(*ROTATED), "alignment.csv",
    ),
    "find_directions": (
        "init.safetensors", "nads.npz", *_of_arms("network", "linear", "converged"),
    ),
}  # fmt: skip
"""The files that each step writes, for every key the same."""
WATCHED = {"evolution.csv", "energy.csv"}
"""Those of them that say nothing where no task of a family is watched."""
TRAINED = {
    "tasks": {*_of_arms("network", "linear", "linear0", "converged", "converged0", "ridge")},
    "rotated": {*FILES["rotate"]},
    "watch": {*_of_arms("random"), *WATCHED},
}
"""The tasks of a family, and the files that have all of them but for those that diverged."""
OF_SPECTRUM = {"eigenfunctions": "spectrum.npz", "inductive": "inductive.npz"}
"""The kinds of tasks that are signs of eigenfunctions, and the file of `decompose` with these."""
OF_A_START = ("compute_kernel", "decompose")
"""Steps whose key is an initialisation: (model, support, seed)."""
OF_A_FAMILY = ("linearize", "fit", "rotate")
"""Steps whose key is a family of tasks on one: (model, support, seed, family)."""


class Run(NamedTuple):
    """The tasks of a family, for one model and seed."""

    family: str
    model: str
    support: str
    seed: int


def scale_of(config: Config) -> LinearizedScale:
    """How much of the study is run."""
    scale: LinearizedScale = config.studies[NAME].scale
    return scale


def study_of(config: Config) -> LinearizedStudy:
    """What the study publishes."""
    study: LinearizedStudy = config.studies[NAME].declared
    return study


def runs(config: Config, select: Select, *families: str) -> list[Run]:
    """The runs of `families`, of the models and on the dataset of a selection.

    A model is taken from the first family of a kind that has it. Families that the scale lacks
    are passed over.
    """
    scale = scale_of(config)
    taken: set[tuple[str, str]] = set()
    found = []
    for name in dict.fromkeys(families):
        family = scale.families.get(name)
        if family is None or select.dataset not in (None, _dataset(scale, family)):
            continue
        for model in family.models:
            key = (family.kind, model)
            if key in taken or not (select.models is None or model in select.models):
                continue
            taken.add(key)
            found += [Run(name, model, family.support or GAUSSIAN, seed) for seed in family.seeds]
    return found


def _dataset(scale: LinearizedScale, family: Family) -> str | None:
    return scale.supports[family.support].dataset if family.support else None


def select(config: Config, selection: Select, reads: tuple[str, ...]) -> Selected:
    """The runs of a selection, with what is known of their families and models.

    `Selected.spec` has `runs` and `baselines` (rows of model, label, support, seed, family),
    `families` (name -> kind, train, test, the tasks that the files read have and how long they are
    trained, and the signal of `nads`) and `models` (rows of model, label, architecture, in the
    order of the study). `Selected.files` names a file of a run `FAMILY/MODEL/SEED/NAME`.
    """
    if selection.family is None:
        return Selected()
    own = runs(config, selection, selection.family, *selection.also)
    # A claim is judged on whatever is there of its families. A table or figure is about its first
    # one, for which others stand only where any on a dataset will do.
    first = bool(runs(config, selection, selection.family))
    if not own or not (first or selection.dataset or isinstance(selection, Judged)):
        return Selected(available=False)
    families_here = scale_of(config).families
    if WATCHED & set(reads) and not any(families_here[run.family].watch for run in own):
        return Selected(available=False)
    anywhere = selection.model_copy(update={"dataset": None})
    others = runs(config, anywhere, *selection.baselines)
    families = list(dict.fromkeys(run.family for run in (*own, *others)))
    return Selected(
        spec={
            "runs": [_row(config, run) for run in own],
            "baselines": [_row(config, run) for run in others],
            "families": {name: _family_facts(config, name, reads) for name in families},
            "models": _model_facts(config, {run.model for run in (*own, *others)}),
        },
        files={
            f"{run.family}/{run.model}/{run.seed}/{name}": file_of(config, run, name)
            for name in reads
            for run in (*own, *others)
        },
        data="; ".join(dict.fromkeys(_examples_in_words(config, name) for name in families)),
        datasets=tuple(dict.fromkeys(_dataset_in_words(config, name) for name in families)),
        seeds=tuple(dict.fromkeys(run.seed for run in own)),
    )


def _row(config: Config, run: Run) -> dict[str, Any]:
    label = study_of(config).models[run.model].label
    return {
        "model": run.model, "label": label, "support": run.support, "seed": run.seed,
        "family": run.family,
    }  # fmt: skip


def _family_facts(config: Config, name: str, reads: tuple[str, ...]) -> dict[str, Any]:
    """Kind of the tasks of a family, how many examples it has, and what the files read have."""
    family, source = scale_of(config).families[name], _source(config, name)
    facts: dict[str, Any] = {"kind": family.kind, "train": source.train, "test": source.test}
    if isinstance(source, Directions):
        facts |= source.model_dump(include={"amplitude", "epsilon", "sigma"})
    every = (max(family.tasks),) if family.kind == "binary" else family.tasks
    known = {**dict(family), "rotated": family.rotated or every}
    read = {kind: list(known[kind]) for kind, names in TRAINED.items() if names & set(reads)}
    if read:
        facts |= {**read, "epochs": config.recipes[family.recipe].epochs, "steps": family.steps}
    return facts


def _model_facts(config: Config, chosen: set[str]) -> list[dict[str, str]]:
    """Label and architecture of the chosen models, in the order of the study.

    The architecture goes by the label of the model that is named like it; where there is none, by
    that of its first model.
    """
    models = study_of(config).models
    first = {entry.model: entry.label for entry in reversed(models.values())}
    first |= {name: entry.label for name, entry in models.items() if name == entry.model}
    return [
        {"model": name, "label": entry.label, "architecture": first[entry.model]}
        for name, entry in models.items()
        if name in chosen
    ]


def _examples_in_words(config: Config, name: str) -> str:
    title, own = _dataset_in_words(config, name), _source(config, name)
    return f"{title} ({own.train:,} training and {own.test:,} test examples)"


def _source(config: Config, name: str) -> Support | Directions:
    """What says how many examples a family has."""
    scale = scale_of(config)
    family = scale.families[name]
    return scale.supports[family.support] if family.support else family.directions


def _dataset_in_words(config: Config, name: str) -> str:
    scale = scale_of(config)
    dataset = _dataset(scale, scale.families[name])
    return config.datasets[dataset].title if dataset else "synthetic Gaussian inputs"


def start_file(config: Config, model: str, support: str, seed: int | str, name: str) -> str:
    """A file of an initialisation, of `compute_kernel` or `decompose`."""
    return paths(config).study(NAME, model, support, f"seed{seed}", name)


def family_file(
    config: Config, model: str, support: str, seed: int | str, family: str, name: str
) -> str:
    """A file of a family of tasks on an initialisation."""
    return paths(config).study(NAME, model, support, f"seed{seed}", "runs", family, name)


def directions_file(config: Config, model: str, seed: int | str, family: str, name: str) -> str:
    """A file of a family of anisotropy directions."""
    return paths(config).study(NAME, model, GAUSSIAN, f"seed{seed}", family, name)


def writer(config: Config, run: Run, name: str) -> str:
    """The step that writes a file of a run. Raises ConfigError when none does."""
    kind = scale_of(config).families[run.family].kind
    steps = ("find_directions",) if kind == "nads" else (*OF_A_START, *OF_A_FAMILY)
    for step in steps:
        if name in FILES[step]:
            return step
    raise ConfigError(
        f"{config.root}/studies/{NAME}/study.yaml: family {run.family!r} of kind {kind} has no "
        f"{name}; leave it out of `select`"
    )


def file_of(config: Config, run: Run, name: str) -> str:
    """The path of a file of a run, by its name."""
    step = writer(config, run, name)
    if step == "find_directions":
        return directions_file(config, run.model, run.seed, run.family, name)
    if step in OF_A_START:
        return start_file(config, run.model, run.support, run.seed, name)
    return family_file(config, run.model, run.support, run.seed, run.family, name)


def keys(config: Config, step: str) -> list[tuple[str, ...]]:
    """The keys of all jobs of a step that artefacts and claims lead to."""
    found: dict[tuple[str, ...], None] = {}
    for run, name in _wanted(config):
        for needed in _leads_to(config, run, writer(config, run, name)):
            if needed == step:
                found[_key(step, run)] = None
    return list(found)


def _key(step: str, run: Run) -> tuple[str, ...]:
    if step in OF_A_START:
        return run.model, run.support, str(run.seed)
    if step in OF_A_FAMILY:
        return run.model, run.support, str(run.seed), run.family
    return run.model, str(run.seed), run.family


def _leads_to(config: Config, run: Run, step: str) -> Iterator[str]:
    """A step and those whose files it reads."""
    yield step
    if step == "find_directions" or step == "compute_kernel":
        return
    yield "compute_kernel"
    if step in OF_A_FAMILY and scale_of(config).families[run.family].kind in OF_SPECTRUM:
        yield "decompose"
    if step == "rotate":
        yield "fit"


def _wanted(config: Config) -> Iterator[tuple[Run, str]]:
    """Every file of a run that an artefact or a claim reads."""
    for selection, reads in declared.reading(config, NAME):
        selected = select(config, selection, ())
        for row in (*selected.spec.get("runs", ()), *selected.spec.get("baselines", ())):
            run = Run(row["family"], row["model"], row["support"], row["seed"])
            yield from ((run, name) for name in reads)


def protocol(config: Config) -> Iterator[Row]:
    """How every family of tasks is trained, for the paper."""
    study, own = study_of(config), scale_of(config)
    for name, family in own.families.items():
        recipe = config.recipes[family.recipe]
        models = ", ".join(study.models[model].label for model in family.models)
        if family.support is None:
            data = examples("drawn inputs", family.directions.train, family.directions.test)
        else:
            support = own.supports[family.support]
            title = config.datasets[support.dataset].title
            data = examples(title, support.train, support.test)
        yield trained(name, data, models, recipe, recipe.weight_decay, family.seeds)
