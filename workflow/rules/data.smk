# Raw files, verified, and datasets as tensors.


rule fetch:
    output:
        PATHS.raw("{dataset}", "{file}"),
    log:
        PATHS.log("fetch", "{dataset}", "{file}"),
    wildcard_constraints:
        file=r"[^/]+",
    retries: 1
    conda:
        ENVIRONMENT
    params:
        at=AT,
        spec=lambda wildcards: specs.raw_file(CONFIG, wildcards.dataset, wildcards.file),
    shell:
        "firstorder fetch {params.at:q} {wildcards.dataset:q} {wildcards.file:q}" " > {log:q} 2>&1"


rule prepare:
    input:
        lambda wildcards: [
            PATHS.raw(wildcards.dataset, file.name)
            for file in CONFIG.datasets[wildcards.dataset].files
        ],
    output:
        PATHS.dataset("{dataset}"),
    log:
        PATHS.log("prepare", "{dataset}"),
    benchmark:
        PATHS.benchmark("prepare", "{dataset}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * demand.prepare_megabytes(CONFIG, wildcards.dataset),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        at=AT,
        spec=lambda wildcards: specs.dataset(CONFIG, wildcards.dataset),
        code=PLAN.code(*plan.OTHER["prepare"]),
    shell:
        "firstorder prepare {params.at:q} {wildcards.dataset:q} > {log:q} 2>&1"
