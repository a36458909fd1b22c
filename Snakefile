# Table of contents: configuration, rules by stage and by study, targets.
from snakemake.utils import min_version

min_version("9.14")


report: "workflow/report/workflow.rst"


# The configuration is checked here, in words, before Snakemake reads it.
include: "workflow/rules/common.smk"


configfile: "config/config.yaml"


include: "workflow/rules/data.smk"


for study in CONFIG.settings.studies:

    include: rules_of(study)


include: "workflow/rules/publish.smk"
include: "workflow/rules/paper.smk"


# Steps of seconds, not worth a place in a queue.
localrules:
    all,
    fetch,
    table,
    figure,
    claims,
    manifest,
    crate,
    paper,
    page,


# All files of all jobs, not only the published ones: what somebody deleted is made again.
rule all:
    default_target: True
    input:
        [path for job in JOBS.values() for path in job.outputs.values()],


for study in CONFIG.settings.studies:

    rule:
        name:
            study
        input:
            files_of_study(study),
