# From records to tables, figures, claims and the manifest.


rule table:
    input:
        artefact_inputs,
    output:
        report(
            PATHS.table("{study}", "{artefact}", "html"),
            caption=caption("table"),
            category=report_category,
            subcategory="Tables",
            labels=report_labels,
        ),
        PATHS.table("{study}", "{artefact}", "csv"),
        PATHS.table("{study}", "{artefact}", "md"),
        PATHS.table("{study}", "{artefact}", "tex"),
    log:
        PATHS.log("table", "{study}", "{artefact}"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        spec=artefact_spec,
        code=artefact_code,
        title=described("title"),
        caption=described("caption"),
        where=described("where"),
        scale=described("scale"),
        data=described("data"),
        seeds=described("seeds"),
    shell:
        "firstorder table {params.at:q} {wildcards.study:q} {wildcards.artefact:q}"
        " > {log:q} 2>&1"


rule figure:
    input:
        artefact_inputs,
    output:
        report(
            PATHS.figure("{study}", "{artefact}", "svg"),
            caption=caption("figure"),
            category=report_category,
            subcategory="Figures",
            labels=report_labels,
        ),
        PATHS.figure("{study}", "{artefact}", "pdf"),
        PATHS.figure("{study}", "{artefact}", "png"),
        PATHS.figure("{study}", "{artefact}", "csv"),
    log:
        PATHS.log("figure", "{study}", "{artefact}"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        spec=artefact_spec,
        code=artefact_code,
        title=described("title"),
        caption=described("caption"),
        where=described("where"),
        scale=described("scale"),
        data=described("data"),
        seeds=described("seeds"),
    shell:
        "firstorder figure {params.at:q} {wildcards.study:q} {wildcards.artefact:q}"
        " > {log:q} 2>&1"


rule claims:
    input:
        [path for study in CONFIG.settings.studies for path in needs.claim_inputs(CONFIG, study)],
    output:
        report(
            PATHS.claims("html"),
            caption=caption("claims"),
            category="Claims",
            labels={"Title": "What held and what did not"},
        ),
        PATHS.claims("csv"),
        PATHS.claims("md"),
    log:
        PATHS.log("claims"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        spec=specs.claims(CONFIG),
        code=PLAN.code(*plan.claim_entries(CONFIG)),
    shell:
        "firstorder claims {params.at:q} > {log:q} 2>&1"


rule manifest:
    input:
        artefact_files(*CONFIG.settings.studies),
        PATHS.claims("csv"),
    output:
        PATHS.manifest,
    log:
        PATHS.log("manifest"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        code=PLAN.code(*plan.OTHER["manifest"]),
    shell:
        "firstorder manifest {params.at:q} > {log:q} 2>&1"


rule crate:
    input:
        PATHS.manifest,
        PATHS.paper,
    output:
        PATHS.crate,
    log:
        PATHS.log("crate"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        code=PLAN.code(*plan.OTHER["crate"]),
    shell:
        "firstorder crate {params.at:q} > {log:q} 2>&1"
