# From records to tables, figures, claims and the manifest.


rule table:
    input:
        inputs_of("table"),
    output:
        report(
            outputs_of("table")[0],
            caption="../report/table.rst",
            category=report_category,
            subcategory="Tables",
            labels=report_labels,
        ),
        outputs_of("table")[1:],
    log:
        log_of("table"),
    conda:
        ENVIRONMENT
    params:
        **params_of("table"),
    shell:
        "firstorder table {params.at:q} {wildcards.study:q} {wildcards.artefact:q}"
        " > {log:q} 2>&1"


rule figure:
    input:
        inputs_of("figure"),
    output:
        report(
            outputs_of("figure")[0],
            caption="../report/figure.rst",
            category=report_category,
            subcategory="Figures",
            labels=report_labels,
        ),
        outputs_of("figure")[1:],
    log:
        log_of("figure"),
    conda:
        ENVIRONMENT
    params:
        **params_of("figure"),
    shell:
        "firstorder figure {params.at:q} {wildcards.study:q} {wildcards.artefact:q}"
        " > {log:q} 2>&1"


rule claims:
    input:
        inputs_of("claims"),
    output:
        report(
            outputs_of("claims")[0],
            caption="../report/claims.rst",
            category="Claims",
            labels={"Title": "What held and what did not"},
        ),
        outputs_of("claims")[1:],
    log:
        log_of("claims"),
    conda:
        ENVIRONMENT
    params:
        **params_of("claims"),
    shell:
        "firstorder claims {params.at:q} > {log:q} 2>&1"


rule manifest:
    input:
        inputs_of("manifest"),
    output:
        outputs_of("manifest"),
    log:
        log_of("manifest"),
    conda:
        ENVIRONMENT
    params:
        **params_of("manifest"),
    shell:
        "firstorder manifest {params.at:q} > {log:q} 2>&1"


rule crate:
    input:
        inputs_of("crate"),
    output:
        outputs_of("crate"),
    log:
        log_of("crate"),
    conda:
        ENVIRONMENT
    params:
        **params_of("crate"),
    shell:
        "firstorder crate {params.at:q} > {log:q} 2>&1"


rule page:
    input:
        inputs_of("page"),
    output:
        outputs_of("page"),
    log:
        log_of("page"),
    conda:
        ENVIRONMENT
    params:
        **params_of("page"),
    shell:
        "firstorder page {params.at:q} > {log:q} 2>&1"
