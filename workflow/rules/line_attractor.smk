# Recurrent networks on texts. A job is a corpus, or a cell on it with all seeds. They wait for each
# other, a core at a time, so they have priority: begun last, they would leave the other cores idle.


# Seconds or a download: compute nodes often have no network.
localrules:
    fetch_text,


rule fetch_text:
    output:
        outputs_of("fetch_text"),
    log:
        log_of("fetch_text"),
    retries: 1
    conda:
        ENVIRONMENT
    params:
        **params_of("fetch_text"),
    shell:
        "firstorder fetch_text {params.at:q}"
        " {wildcards.corpus:q} {wildcards.file:q} > {log:q} 2>&1"


rule read_text:
    input:
        inputs_of("read_text"),
    output:
        outputs_of("read_text"),
    log:
        log_of("read_text"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("read_text")
    resources:
        **resources_of("read_text"),
    params:
        **params_of("read_text"),
    shell:
        "firstorder read_text {params.at:q} {wildcards.corpus:q} > {log:q} 2>&1"


rule count_words:
    input:
        inputs_of("count_words"),
    output:
        outputs_of("count_words"),
    log:
        log_of("count_words"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("count_words")
    resources:
        **resources_of("count_words"),
    params:
        **params_of("count_words"),
    shell:
        "firstorder count_words {params.at:q} {wildcards.corpus:q} > {log:q} 2>&1"


rule train_rnn:
    input:
        inputs_of("train_rnn"),
    output:
        outputs_of("train_rnn"),
    log:
        log_of("train_rnn"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("train_rnn")
    resources:
        **resources_of("train_rnn"),
    params:
        **params_of("train_rnn"),
    shell:
        "firstorder train_rnn {params.at:q}"
        " {wildcards.corpus:q} {wildcards.cell:q} > {log:q} 2>&1"


rule find_fixed_points:
    input:
        inputs_of("find_fixed_points"),
    output:
        outputs_of("find_fixed_points"),
    log:
        log_of("find_fixed_points"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("find_fixed_points")
    resources:
        **resources_of("find_fixed_points"),
    params:
        **params_of("find_fixed_points"),
    shell:
        "firstorder find_fixed_points {params.at:q}"
        " {wildcards.corpus:q} {wildcards.cell:q} > {log:q} 2>&1"


rule linearize_dynamics:
    input:
        inputs_of("linearize_dynamics"),
    output:
        outputs_of("linearize_dynamics"),
    log:
        log_of("linearize_dynamics"),
    priority: 1
    conda:
        ENVIRONMENT
    threads: threads_of("linearize_dynamics")
    resources:
        **resources_of("linearize_dynamics"),
    params:
        **params_of("linearize_dynamics"),
    shell:
        "firstorder linearize_dynamics {params.at:q}"
        " {wildcards.corpus:q} {wildcards.cell:q} > {log:q} 2>&1"
