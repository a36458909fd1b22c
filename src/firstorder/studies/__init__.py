"""The steps of the studies, one function a verb: read inputs, compute, write outputs."""
