# Robust losses on tangent kernels.


rule compute_scalar_kernel:
    input:
        inputs_of("compute_scalar_kernel"),
    output:
        outputs_of("compute_scalar_kernel"),
    log:
        log_of("compute_scalar_kernel"),
    priority: 2
    conda:
        ENVIRONMENT
    threads: threads_of("compute_scalar_kernel")
    resources:
        **resources_of("compute_scalar_kernel"),
    params:
        **params_of("compute_scalar_kernel"),
    shell:
        "firstorder compute_scalar_kernel {params.at:q}"
        " {wildcards.kernel:q} {wildcards.seed:q} > {log:q} 2>&1"


rule classify_under_noise:
    input:
        inputs_of("classify_under_noise"),
    output:
        outputs_of("classify_under_noise"),
    log:
        log_of("classify_under_noise"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("classify_under_noise")
    resources:
        **resources_of("classify_under_noise"),
    params:
        **params_of("classify_under_noise"),
    shell:
        "firstorder classify_under_noise {params.at:q}"
        " {wildcards.kernel:q} {wildcards.seed:q} > {log:q} 2>&1"


rule follow_paths:
    input:
        inputs_of("follow_paths"),
    output:
        outputs_of("follow_paths"),
    log:
        log_of("follow_paths"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("follow_paths")
    resources:
        **resources_of("follow_paths"),
    params:
        **params_of("follow_paths"),
    shell:
        "firstorder follow_paths {params.at:q}"
        " {wildcards.kernel:q} {wildcards.seed:q} > {log:q} 2>&1"


rule follow_rotation:
    input:
        inputs_of("follow_rotation"),
    output:
        outputs_of("follow_rotation"),
    log:
        log_of("follow_rotation"),
    conda:
        ENVIRONMENT
    threads: threads_of("follow_rotation")
    resources:
        **resources_of("follow_rotation"),
    params:
        **params_of("follow_rotation"),
    shell:
        "firstorder follow_rotation {params.at:q}"
        " {wildcards.network:q} {wildcards.loss:q} > {log:q} 2>&1"
