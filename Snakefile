# Table of contents: configuration, rules by stage, targets.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/noise.smk"
include: "workflow/rules/symmetrization.smk"
include: "workflow/rules/linearized.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/paper.smk"


# Steps of seconds, not worth a place in a queue.
localrules:
    all,
    symmetrization,
    linearized,
    fetch,
    labels,
    table,
    figure,
    claims,
    manifest,
    crate,
    paper,


rule all:
    default_target: True
    input:
        artefact_files(*CONFIG.settings.studies),
        PATHS.claims("html"),
        PATHS.manifest,
        PATHS.crate,
        PATHS.paper,


rule symmetrization:
    input:
        artefact_files("symmetrization"),


rule linearized:
    input:
        artefact_files("linearized"),
