# Trainings under label noise. A job is a cell: a setting, a noise and a loss, with all seeds.


# Seconds, not worth a place in a queue.
localrules:
    corrupt,


rule corrupt:
    input:
        inputs_of("corrupt"),
    output:
        outputs_of("corrupt"),
    log:
        log_of("corrupt"),
    conda:
        ENVIRONMENT
    resources:
        **resources_of("corrupt"),
    params:
        **params_of("corrupt"),
    shell:
        "firstorder corrupt {params.at:q} {wildcards.dataset:q} {wildcards.noise:q}"
        " > {log:q} 2>&1"


rule train:
    input:
        inputs_of("train"),
    output:
        outputs_of("train"),
    log:
        log_of("train"),
    conda:
        ENVIRONMENT
    threads: threads_of("train")
    resources:
        **resources_of("train"),
    params:
        **params_of("train"),
    shell:
        "firstorder train {params.at:q}"
        " {wildcards.setting:q} {wildcards.noise:q} {wildcards.loss:q} > {log:q} 2>&1"


rule evaluate:
    input:
        inputs_of("evaluate"),
    output:
        outputs_of("evaluate"),
    log:
        log_of("evaluate"),
    conda:
        ENVIRONMENT
    threads: threads_of("evaluate")
    resources:
        **resources_of("evaluate"),
    params:
        **params_of("evaluate"),
    shell:
        "firstorder evaluate {params.at:q}"
        " {wildcards.setting:q} {wildcards.noise:q} {wildcards.loss:q} > {log:q} 2>&1"


rule tune:
    input:
        inputs_of("tune"),
    output:
        outputs_of("tune"),
    log:
        log_of("tune"),
    conda:
        ENVIRONMENT
    threads: threads_of("tune")
    resources:
        **resources_of("tune"),
    params:
        **params_of("tune"),
    shell:
        "firstorder tune {params.at:q} {wildcards.setting:q} {wildcards.loss:q} > {log:q} 2>&1"


rule time_losses:
    input:
        inputs_of("time_losses"),
    output:
        outputs_of("time_losses"),
    log:
        log_of("time_losses"),
    conda:
        ENVIRONMENT
    threads: threads_of("time_losses")
    resources:
        **resources_of("time_losses"),
    params:
        **params_of("time_losses"),
    shell:
        "firstorder time_losses {params.at:q} {wildcards.setting:q} > {log:q} 2>&1"
