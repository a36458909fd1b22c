# What all rules share: the plan, the paths, the parameters that decide what is run again.
import sys

from firstorder import config as configuration
from firstorder import demand, plan, specs, warm
from firstorder.errors import UserError
from firstorder.paths import Paths
from firstorder.publish import needs

try:
    PLAN = plan.make("config", config)
except UserError as error:
    sys.exit(f"firstorder: {error}")
CONFIG = PLAN.config
PATHS = Paths(CONFIG.settings.results, CONFIG.settings.resources, CONFIG.settings.scale)
SLUG = configuration.SLUG.pattern
SYMMETRIZATION = CONFIG.scale.symmetrization
LINEARIZED = CONFIG.scale.linearized
MODELS = CONFIG.studies.linearized.models
ENVIRONMENT = "../../envs/environment.yaml"


wildcard_constraints:
    dataset=SLUG,
    setting=SLUG,
    noise=SLUG,
    loss=SLUG,
    model=SLUG,
    support=SLUG,
    seed=r"\d+",
    study="symmetrization|linearized",
    artefact=SLUG,


def artefact_files(*studies):
    """All files of the artefacts of `studies`."""
    return [
        path
        for study, name, artefact in configuration.artefacts(CONFIG)
        if study in studies
        for path in PATHS.artefact(study, name, artefact.kind)
    ]


def cell(wildcards):
    """The resolved cell of a training job."""
    return configuration.cell(CONFIG, wildcards.setting, wildcards.noise, wildcards.loss)


def artefact(wildcards):
    """The declaration of a table or figure."""
    return getattr(CONFIG.studies, wildcards.study).artefacts[wildcards.artefact]


def tangent_code(verb):
    """A params function: the digest of a verb of the linearized study for its model."""
    return lambda wildcards: PLAN.code(
        *plan.tangent_entries(verb, CONFIG.studies.linearized, wildcards.model)
    )


def caption(name):
    """The caption template of a kind of artefact."""
    return f"../report/{name}.rst"


def tuning_cell(wildcards):
    """The cell of the tuning protocol for a setting and a loss."""
    return configuration.tuning_cell(CONFIG, wildcards.setting, wildcards.loss)


def family_support(family):
    """The folder of a family: its support, or the law from which its inputs are drawn."""
    return LINEARIZED.families[family].support or "gaussian"


def family_files(family, *names):
    """Files of a family of tasks, for a model and a seed."""
    return [
        PATHS.tangent_run("{model}", family_support(family), "{seed}", family, name)
        for name in names
    ]


def tangent_files(family, *names):
    """Files of the initialisation on which a family builds."""
    return [PATHS.tangent("{model}", family_support(family), "{seed}", name) for name in names]


def family_dataset(family):
    """The dataset of a family; none when it makes its own inputs."""
    support = LINEARIZED.families[family].support
    return [PATHS.dataset(LINEARIZED.supports[support].dataset)] if support else []


def network_weights(family):
    """The trained networks of a family, one for each task."""
    return [f"network-{task}.safetensors" for task in LINEARIZED.families[family].tasks]


def family_spec(family):
    """A params function: the settings of a family's trainings."""
    return lambda wildcards: specs.family(CONFIG, wildcards.model, family)


def family_threads(family):
    """CPU threads of one training of a family."""
    return CONFIG.recipes[LINEARIZED.families[family].recipe].threads


def described(key):
    """A params function: one entry of an artefact's description."""
    return lambda wildcards: needs.description(CONFIG, wildcards.study, wildcards.artefact)[key]


def artefact_inputs(wildcards):
    """The records that an artefact needs."""
    return needs.inputs(CONFIG, wildcards.study, wildcards.artefact)


def artefact_spec(wildcards):
    """What an artefact prints and from which results."""
    return specs.artefact(CONFIG, wildcards.study, artefact(wildcards))


def artefact_code(wildcards):
    """The digest of the code that draws an artefact."""
    return PLAN.code(*plan.artefact_entries(CONFIG, artefact(wildcards)))


def report_category(wildcards):
    """The study of an artefact, as a heading of the report."""
    return getattr(CONFIG.studies, wildcards.study).title


def report_labels(wildcards):
    """The columns of the report's list of results."""
    declared = artefact(wildcards)
    return {"Title": declared.title, "Place": declared.where}


# Frozen after all digests are known: jobs read the plan and never add to it.
PLAN = plan.freeze(PLAN)
# Where a printed command finds its configuration when it is run by hand.
AT = [f"--scale={CONFIG.settings.scale}", f"--results={CONFIG.settings.results}"]


onstart:
    # Jobs of this machine only: elsewhere their process has other parents than this one.
    if workflow.local_exec:
        warm.announce()
