"""First-order approximations of networks at their initialisation: tangents, kernels, tasks."""
