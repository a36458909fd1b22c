# The replication report as a PDF.


rule paper:
    input:
        artefact_files(*CONFIG.settings.studies),
        PATHS.claims("csv"),
        source="paper/main.typ",
    output:
        report(
            PATHS.paper,
            caption=caption("paper"),
            category="Paper",
            labels={"Title": "The replication report"},
        ),
    log:
        PATHS.log("paper"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        code=PLAN.code(*plan.OTHER["paper"]),
    shell:
        "firstorder paper {params.at:q} > {log:q} 2>&1"
