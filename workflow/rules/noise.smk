# Noisy labels: one job draws a noise on a dataset for all seeds.


rule labels:
    input:
        dataset=PATHS.dataset("{dataset}"),
        human=lambda wildcards: [
            PATHS.raw(wildcards.dataset, file.name)
            for file in configuration.human_files(CONFIG, wildcards.dataset, wildcards.noise)
        ],
    output:
        expand(
            PATHS.labels("{{dataset}}", "{{noise}}", "{seed}"),
            seed=configuration.label_seeds(CONFIG),
        ),
    log:
        PATHS.log("labels", "{dataset}", "{noise}"),
    conda:
        ENVIRONMENT
    params:
        at=AT,
        spec=lambda wildcards: specs.noise(CONFIG, wildcards.dataset, wildcards.noise),
        code=PLAN.code(*plan.OTHER["labels"]),
    shell:
        "firstorder labels {params.at:q} {wildcards.dataset:q} {wildcards.noise:q}"
        " > {log:q} 2>&1"
