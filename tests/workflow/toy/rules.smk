rule measure:
    input:
        inputs_of("measure"),
    output:
        outputs_of("measure"),
    log:
        log_of("measure"),
    params:
        **params_of("measure"),
    shell:
        "firstorder measure {params.at:q} {wildcards.dataset:q} > {log:q} 2>&1"
