# What all rules share: the plan, and look-ups of the job that a rule's wildcards name.
import sys
from pathlib import Path

import snakemake_logger_plugin_firstorder
from snakemake.settings.types import ExecMode

from firstorder.errors import UserError
from firstorder.jobs import forecast, lock, plan, warm
from firstorder.jobs.paths import paths
from firstorder.publish import captions, tally

try:
    PLAN = plan.make("config", config, head=workflow.exec_mode == ExecMode.DEFAULT)
    # Jobs read the frozen plan and never add to it.
    PLAN = plan.freeze(PLAN)
except (UserError, OSError) as error:
    sys.exit(f"firstorder: {error}")
CONFIG = PLAN.config
PATHS = paths(CONFIG)
STEPS = PLAN.steps()
JOBS = PLAN.jobs()
ENVIRONMENT = "../../envs/environment.yaml"
# Where a printed command finds its configuration when it is run by hand.
AT = [f"--scale={CONFIG.settings.scale}", f"--results={CONFIG.settings.results}"]


# A table's file is STUDY-ARTEFACT, and both may hold a hyphen.
wildcard_constraints:
    **{
        key: "|".join(CONFIG.studies) if key == "study" else r"[a-zA-Z0-9._+-]+"
        for step in STEPS.values()
        for key in step.keys
    },


def rules_of(study):
    """The rules of a study: of this workflow, or `rules.smk` of a user's own package."""
    own = Path(workflow.basedir) / "workflow" / "rules" / f"{study}.smk"
    rules = own if own.is_file() else Path(study, "rules.smk").absolute()
    if not rules.is_file():
        sys.exit(
            f"firstorder: study {study!r} has no rules: write workflow/rules/{study}.smk, or "
            f"{study}/rules.smk as in tests/workflow/toy"
        )
    return str(rules)


def job(step):
    """The job of a step that wildcards name; ends Snakemake with one line where there is none."""

    def found(wildcards):
        try:
            return PLAN.job(step, *(wildcards[key] for key in STEPS[step].keys))
        except UserError as error:
            sys.exit(f"firstorder: {error}")

    return found


def inputs_of(step):
    """An input function."""
    return lambda wildcards: list(job(step)(wildcards).inputs.values())


def outputs_of(step):
    """The patterns of a step's outputs."""
    patterns = STEPS[step].outputs(CONFIG, *(f"{{{key}}}" for key in STEPS[step].keys))
    return list(patterns.values())


def log_of(step):
    """The pattern of a step's log."""
    return PATHS.log(step, *(f"{{{key}}}" for key in STEPS[step].keys))


def threads_of(step):
    """A function of the wildcards: CPU threads."""
    return lambda wildcards: job(step)(wildcards).demand.threads


def resources_of(step):
    """What a job asks of a scheduler; more when it is tried again."""
    return {
        "gpu": lambda wildcards: int(job(step)(wildcards).demand.gpu),
        "mem_mb": lambda wildcards, attempt: attempt * job(step)(wildcards).demand.megabytes,
        "runtime": lambda wildcards, attempt: attempt * job(step)(wildcards).demand.minutes,
    }


def params_of(step):
    """What decides whether a job is run again."""
    return {
        "at": AT,
        "spec": lambda wildcards: job(step)(wildcards).spec_digest,
        "code": lambda wildcards: PLAN.code(job(step)(wildcards)),
    }


# What the report says of tables and figures. Of all that a caption may read, only this is no
# parameter of a job: a figure is not drawn again for its caption.
config["captions"] = {
    each.aside["printed"]["label"]: {
        name: captions.literal(each.aside[name])
        for name in ("title", "caption", "where", "scale", "data", "seeds")
    }
    for each in JOBS.values()
    if each.step in ("table", "figure")
}


def report_category(wildcards):
    """The study of an artefact, as a heading of the report."""
    return captions.label(CONFIG.studies[wildcards.study].declared.title)


def report_labels(wildcards):
    """The columns of the report's list of results."""
    declared = CONFIG.studies[wildcards.study].declared.artefacts[wildcards.artefact]
    return {
        "Title": captions.label(declared.title),
        "Place": captions.label(declared.where),
    }


def files_of_study(study):
    """All files of the artefacts of a study."""
    return [
        path
        for each in JOBS.values()
        if each.step in ("table", "figure") and each.key[0] == study
        for path in each.outputs.values()
    ]


onstart:
    # Snakemake's limit of jobs per second looks at all waiting jobs again one second after every
    # look, for ever, and every finished job adds one: after 400 jobs the head of a run alone takes
    # a core (snakemake#2354). Here no scheduler must be spared.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    try:
        expected, limits = forecast.expected(JOBS.values(), CONFIG)
        lock.hold(PATHS.root)
    except (UserError, OSError) as error:
        sys.exit(f"firstorder: {error}")
    snakemake_logger_plugin_firstorder.EXPECTED.update(expected)
    snakemake_logger_plugin_firstorder.LIMITS.update(limits)
    # Jobs of this machine only: elsewhere their process has other parents than this one.
    if workflow.local_exec:
        warm.announce({step.name: step.preload for step in STEPS.values()})


onsuccess:
    print("", *tally.lines(PATHS), sep="\n")
