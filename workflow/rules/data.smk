# Raw files, verified, and datasets as tensors.


rule fetch:
    output:
        outputs_of("fetch"),
    log:
        log_of("fetch"),
    retries: 1
    conda:
        ENVIRONMENT
    params:
        **params_of("fetch"),
    shell:
        "firstorder fetch {params.at:q} {wildcards.dataset:q} {wildcards.file:q} > {log:q} 2>&1"


rule prepare:
    input:
        inputs_of("prepare"),
    output:
        outputs_of("prepare"),
    log:
        log_of("prepare"),
    conda:
        ENVIRONMENT
    resources:
        **resources_of("prepare"),
    params:
        **params_of("prepare"),
    shell:
        "firstorder prepare {params.at:q} {wildcards.dataset:q} > {log:q} 2>&1"
