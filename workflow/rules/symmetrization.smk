# Trainings under label noise. A job is a cell: a setting, a noise and a loss, with all seeds.


rule train:
    input:
        dataset=lambda wildcards: PATHS.dataset(cell(wildcards).dataset),
        labels=lambda wildcards: [
            PATHS.labels(cell(wildcards).dataset, wildcards.noise, seed)
            for seed in SYMMETRIZATION.seeds
        ],
        tuned=lambda wildcards: (
            [PATHS.tuned(wildcards.setting, wildcards.loss)] if cell(wildcards).loss.tuned else []
        ),
    output:
        expand(
            PATHS.run("{{setting}}", "{{noise}}", "{{loss}}", "{seed}", "{name}"),
            seed=SYMMETRIZATION.seeds,
            name=["history.csv", "summary.json", "weights.safetensors"],
        ),
    log:
        PATHS.log("train", "{setting}", "{noise}", "{loss}"),
    benchmark:
        PATHS.benchmark("train", "{setting}", "{noise}", "{loss}")
    conda:
        ENVIRONMENT
    threads: lambda wildcards: cell(wildcards).recipe.threads
    resources:
        gpu=demand.gpus(CONFIG),
        mem_mb=lambda wildcards, attempt: attempt
        * demand.training_megabytes(CONFIG, cell(wildcards)),
        runtime=lambda wildcards, attempt: attempt
        * demand.training_minutes(cell(wildcards), len(SYMMETRIZATION.seeds)),
    params:
        at=AT,
        spec=lambda wildcards: specs.cell(cell(wildcards)),
        code=lambda wildcards: PLAN.code(*plan.cell_entries("train", cell(wildcards))),
    shell:
        "firstorder train {params.at:q}"
        " {wildcards.setting:q} {wildcards.noise:q} {wildcards.loss:q} > {log:q} 2>&1"


rule evaluate:
    input:
        dataset=lambda wildcards: PATHS.dataset(cell(wildcards).dataset),
        weights=expand(
            PATHS.run("{{setting}}", "{{noise}}", "{{loss}}", "{seed}", "weights.safetensors"),
            seed=SYMMETRIZATION.seeds,
        ),
    output:
        expand(
            PATHS.run("{{setting}}", "{{noise}}", "{{loss}}", "{seed}", "tests.json"),
            seed=SYMMETRIZATION.seeds,
        ),
    log:
        PATHS.log("evaluate", "{setting}", "{noise}", "{loss}"),
    benchmark:
        PATHS.benchmark("evaluate", "{setting}", "{noise}", "{loss}")
    conda:
        ENVIRONMENT
    threads: lambda wildcards: cell(wildcards).recipe.threads
    resources:
        gpu=demand.gpus(CONFIG),
        mem_mb=lambda wildcards, attempt: attempt
        * demand.training_megabytes(CONFIG, cell(wildcards)),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        at=AT,
        spec=lambda wildcards: specs.cell(cell(wildcards)),
        code=lambda wildcards: PLAN.code(*plan.evaluation_entries(cell(wildcards))),
    shell:
        "firstorder evaluate {params.at:q}"
        " {wildcards.setting:q} {wildcards.noise:q} {wildcards.loss:q} > {log:q} 2>&1"


if SYMMETRIZATION.tuning is not None:

    rule tune:
        input:
            dataset=lambda wildcards: PATHS.dataset(
                SYMMETRIZATION.settings[wildcards.setting].dataset
            ),
            labels=lambda wildcards: [
                PATHS.labels(
                    SYMMETRIZATION.settings[wildcards.setting].dataset,
                    SYMMETRIZATION.tuning.noise,
                    seed,
                )
                for seed in SYMMETRIZATION.tuning.seeds
            ],
        output:
            curve=PATHS.tuning_run("{setting}", "{loss}"),
            chosen=PATHS.tuned("{setting}", "{loss}"),
        log:
            PATHS.log("tune", "{setting}", "{loss}"),
        benchmark:
            PATHS.benchmark("tune", "{setting}", "{loss}")
        conda:
            ENVIRONMENT
        threads: lambda wildcards: tuning_cell(wildcards).recipe.threads
        resources:
            gpu=demand.gpus(CONFIG),
            mem_mb=lambda wildcards, attempt: attempt
            * demand.training_megabytes(CONFIG, tuning_cell(wildcards)),
            runtime=lambda wildcards, attempt: attempt
            * demand.training_minutes(
                tuning_cell(wildcards),
                configuration.tuning_trainings(CONFIG, tuning_cell(wildcards)),
            ),
        params:
            at=AT,
            spec=lambda wildcards: specs.tuning(CONFIG, wildcards.setting, wildcards.loss),
            code=lambda wildcards: PLAN.code(*plan.cell_entries("tune", tuning_cell(wildcards))),
        shell:
            "firstorder tune {params.at:q} {wildcards.setting:q} {wildcards.loss:q}"
            " > {log:q} 2>&1"
