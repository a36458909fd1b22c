# The replication report as a PDF.


rule paper:
    input:
        inputs_of("paper"),
    output:
        report(
            outputs_of("paper")[0],
            caption="../report/paper.rst",
            category="Paper",
            labels={"Title": "The replication report"},
        ),
        outputs_of("paper")[1:],
    log:
        log_of("paper"),
    conda:
        ENVIRONMENT
    params:
        **params_of("paper"),
    shell:
        "firstorder paper {params.at:q} > {log:q} 2>&1"
