"""The studies, a package each: its settings, jobs and steps, tables, figures and claims."""
