"""The web demo: which models, what is answered, in a process that can be ended, on a page, behind a guarded door."""
