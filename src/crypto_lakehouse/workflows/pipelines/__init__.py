"""Pipelines that a configuration file declares: `run_pipeline` runs one as a composition.

- `declared` reads the file and checks the whole of a pipeline before anything begins;
- `step_workflows` makes the workflow of each step;
- `attempts` runs it again if it failed, and lets steps with one lock take turns.
"""
