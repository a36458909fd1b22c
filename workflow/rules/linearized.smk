# Kernels, and the trainings of networks and their linearizations. What computes on all cores for
# seconds has priority over what trains on one for minutes: it would wait for all cores to be free
# while the others have nothing that is ready.


rule compute_kernel:
    input:
        inputs_of("compute_kernel"),
    output:
        outputs_of("compute_kernel"),
    log:
        log_of("compute_kernel"),
    priority: 2
    conda:
        ENVIRONMENT
    threads: threads_of("compute_kernel")
    resources:
        **resources_of("compute_kernel"),
    params:
        **params_of("compute_kernel"),
    shell:
        "firstorder compute_kernel {params.at:q}"
        " {wildcards.model:q} {wildcards.support:q} {wildcards.seed:q} > {log:q} 2>&1"


rule decompose:
    input:
        inputs_of("decompose"),
    output:
        outputs_of("decompose"),
    log:
        log_of("decompose"),
    priority: 2
    conda:
        ENVIRONMENT
    threads: threads_of("decompose")
    resources:
        **resources_of("decompose"),
    params:
        **params_of("decompose"),
    shell:
        "firstorder decompose {params.at:q}"
        " {wildcards.model:q} {wildcards.support:q} {wildcards.seed:q} > {log:q} 2>&1"


rule linearize:
    input:
        inputs_of("linearize"),
    output:
        outputs_of("linearize"),
    log:
        log_of("linearize"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("linearize")
    resources:
        **resources_of("linearize"),
    params:
        **params_of("linearize"),
    shell:
        "firstorder linearize {params.at:q} {wildcards.model:q} {wildcards.support:q}"
        " {wildcards.seed:q} {wildcards.family:q} > {log:q} 2>&1"


rule fit:
    input:
        inputs_of("fit"),
    output:
        outputs_of("fit"),
    log:
        log_of("fit"),
    conda:
        ENVIRONMENT
    threads: threads_of("fit")
    resources:
        **resources_of("fit"),
    params:
        **params_of("fit"),
    shell:
        "firstorder fit {params.at:q} {wildcards.model:q} {wildcards.support:q}"
        " {wildcards.seed:q} {wildcards.family:q} > {log:q} 2>&1"


rule rotate:
    input:
        inputs_of("rotate"),
    output:
        outputs_of("rotate"),
    log:
        log_of("rotate"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("rotate")
    resources:
        **resources_of("rotate"),
    params:
        **params_of("rotate"),
    shell:
        "firstorder rotate {params.at:q} {wildcards.model:q} {wildcards.support:q}"
        " {wildcards.seed:q} {wildcards.family:q} > {log:q} 2>&1"


rule find_directions:
    output:
        outputs_of("find_directions"),
    log:
        log_of("find_directions"),
    conda:
        ENVIRONMENT
    threads: threads_of("find_directions")
    resources:
        **resources_of("find_directions"),
    params:
        **params_of("find_directions"),
    shell:
        "firstorder find_directions {params.at:q}"
        " {wildcards.model:q} {wildcards.seed:q} {wildcards.family:q} > {log:q} 2>&1"
