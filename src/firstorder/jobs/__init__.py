"""Jobs: what is computed, from what, into what; with which code, and where it was kept."""
