# Kernels, and the trainings of networks and their linearizations. A job is a model, a seed and a
# family of tasks. What computes on all cores for seconds has priority over what trains on one for
# minutes: it would wait for all cores to be free while the others have nothing that is ready.


rule kernel:
    input:
        lambda wildcards: PATHS.dataset(LINEARIZED.supports[wildcards.support].dataset),
    output:
        PATHS.tangent("{model}", "{support}", "{seed}", "init.safetensors"),
        PATHS.tangent("{model}", "{support}", "{seed}", "outputs.npy"),
        PATHS.tangent("{model}", "{support}", "{seed}", "kernel.npy"),
    log:
        PATHS.log("kernel", "{model}", "{support}", "{seed}"),
    benchmark:
        PATHS.benchmark("kernel", "{model}", "{support}", "{seed}")
    priority: 2
    conda:
        ENVIRONMENT
    threads: LINEARIZED.threads
    resources:
        gpu=demand.gpus(CONFIG),
        mem_mb=lambda wildcards, attempt: attempt
        * demand.kernel_megabytes(CONFIG, wildcards.support),
        runtime=lambda wildcards, attempt: attempt * LINEARIZED.kernel_minutes,
    params:
        at=AT,
        spec=lambda wildcards: specs.kernel(CONFIG, wildcards.model, wildcards.support),
        code=tangent_code("kernel"),
    shell:
        "firstorder kernel {params.at:q}"
        " {wildcards.model:q} {wildcards.support:q} {wildcards.seed:q} > {log:q} 2>&1"


rule spectrum:
    input:
        lambda wildcards: PATHS.dataset(LINEARIZED.supports[wildcards.support].dataset),
        PATHS.tangent("{model}", "{support}", "{seed}", "init.safetensors"),
        PATHS.tangent("{model}", "{support}", "{seed}", "kernel.npy"),
    output:
        PATHS.tangent("{model}", "{support}", "{seed}", "spectrum.npz"),
        PATHS.tangent("{model}", "{support}", "{seed}", "gradients.csv"),
    log:
        PATHS.log("spectrum", "{model}", "{support}", "{seed}"),
    benchmark:
        PATHS.benchmark("spectrum", "{model}", "{support}", "{seed}")
    priority: 2
    conda:
        ENVIRONMENT
    threads: LINEARIZED.threads
    resources:
        gpu=demand.gpus(CONFIG),
        mem_mb=lambda wildcards, attempt: attempt
        * demand.spectrum_megabytes(CONFIG, wildcards.support),
        runtime=lambda wildcards, attempt: attempt * LINEARIZED.kernel_minutes,
    params:
        at=AT,
        spec=specs.spectrum(CONFIG),
        code=tangent_code("spectrum"),
    shell:
        "firstorder spectrum {params.at:q}"
        " {wildcards.model:q} {wildcards.support:q} {wildcards.seed:q} > {log:q} 2>&1"


for _family in [name for name in LINEARIZED.families if name != "nads"]:
    _eigenfunctions = configuration.FAMILIES[_family] == "eigenfunctions"
    _spectrum = ["spectrum.npz"] if _eigenfunctions else []
    _watches = bool(LINEARIZED.families[_family].watch)
    _watched = ["evolution.csv", "energy.csv"] if _watches else []
    _control = ["random.csv", "random.json"] if _watches and _eigenfunctions else []

    rule:
        name:
            f"tangent_{_family}"
        input:
            family_dataset(_family),
            tangent_files(_family, "outputs.npy", "kernel.npy", *_spectrum),
        output:
            family_files(_family, "linear.csv", "linear.json", "linear0.csv", "linear0.json"),
        log:
            PATHS.log(f"tangent_{_family}", "{model}", "{seed}"),
        benchmark:
            PATHS.benchmark(f"tangent_{_family}", "{model}", "{seed}")
        priority: 1
        conda:
            ENVIRONMENT
        threads: LINEARIZED.threads
        resources:
            gpu=demand.gpus(CONFIG),
            mem_mb=lambda wildcards, attempt, family=_family: attempt
            * demand.family_megabytes(CONFIG, family),
            runtime=lambda wildcards, attempt, family=_family: attempt
            * demand.family_minutes(CONFIG, family),
        params:
            at=AT,
            family=_family,
            spec=family_spec(_family),
            code=tangent_code("tangent"),
        shell:
            "firstorder tangent {params.at:q}"
            " {wildcards.model:q} {wildcards.seed:q} {params.family:q} > {log:q} 2>&1"

    rule:
        name:
            f"networks_{_family}"
        input:
            family_dataset(_family),
            tangent_files(_family, "init.safetensors", "outputs.npy", "kernel.npy", *_spectrum),
        output:
            family_files(
                _family,
                "network.csv",
                "network.json",
                *_control,
                *_watched,
                *network_weights(_family),
            ),
        log:
            PATHS.log(f"networks_{_family}", "{model}", "{seed}"),
        benchmark:
            PATHS.benchmark(f"networks_{_family}", "{model}", "{seed}")
        conda:
            ENVIRONMENT
        threads: family_threads(_family)
        resources:
            gpu=demand.gpus(CONFIG),
            mem_mb=lambda wildcards, attempt, family=_family: attempt
            * demand.family_megabytes(CONFIG, family),
            runtime=lambda wildcards, attempt, family=_family: attempt
            * demand.family_minutes(CONFIG, family),
        params:
            at=AT,
            family=_family,
            spec=family_spec(_family),
            code=tangent_code("networks"),
        shell:
            "firstorder networks {params.at:q}"
            " {wildcards.model:q} {wildcards.seed:q} {params.family:q} > {log:q} 2>&1"

    rule:
        name:
            f"rotation_{_family}"
        input:
            family_dataset(_family),
            tangent_files(_family, "init.safetensors", "outputs.npy", "kernel.npy", *_spectrum),
            family_files(_family, *network_weights(_family)),
        output:
            family_files(
                _family,
                "retrained.csv",
                "retrained.json",
                *(["alignment.csv"] if _eigenfunctions else []),
            ),
        log:
            PATHS.log(f"rotation_{_family}", "{model}", "{seed}"),
        benchmark:
            PATHS.benchmark(f"rotation_{_family}", "{model}", "{seed}")
        priority: 1
        conda:
            ENVIRONMENT
        threads: LINEARIZED.threads
        resources:
            gpu=demand.gpus(CONFIG),
            mem_mb=lambda wildcards, attempt, family=_family: attempt
            * demand.family_megabytes(CONFIG, family),
            runtime=lambda wildcards, attempt, family=_family: attempt
            * demand.family_minutes(CONFIG, family),
        params:
            at=AT,
            family=_family,
            spec=family_spec(_family),
            code=tangent_code("rotation"),
        shell:
            "firstorder rotation {params.at:q}"
            " {wildcards.model:q} {wildcards.seed:q} {params.family:q} > {log:q} 2>&1"


if "nads" in LINEARIZED.families:

    rule nads:
        output:
            tangent_files("nads", "init.safetensors", "nads.npz"),
            family_files("nads", "network.csv", "network.json", "linear.csv", "linear.json"),
        log:
            PATHS.log("nads", "{model}", "{seed}"),
        benchmark:
            PATHS.benchmark("nads", "{model}", "{seed}")
        conda:
            ENVIRONMENT
        threads: family_threads("nads")
        resources:
            gpu=demand.gpus(CONFIG),
            mem_mb=lambda wildcards, attempt: attempt * demand.family_megabytes(CONFIG, "nads"),
            runtime=lambda wildcards, attempt: attempt * demand.family_minutes(CONFIG, "nads"),
        params:
            at=AT,
            spec=family_spec("nads"),
            code=tangent_code("nads"),
        shell:
            "firstorder nads {params.at:q} {wildcards.model:q} {wildcards.seed:q} > {log:q} 2>&1"
