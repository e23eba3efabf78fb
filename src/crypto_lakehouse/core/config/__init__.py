"""What a run is asked to do: `workflow_config.WorkflowConfig`, checked as a whole before it runs.

1. `sources` turns text in JSON, TOML or YAML, and environment variables, into plain values.
2. `layers` merges them and the profile (`profiles`): a later source wins, key by key.
3. `values` reads each value as its type and refuses what it would have to guess.
4. `rules` checks what spans keys: unknown and outdated keys, combinations that cannot run.

`workflow_keys` describes each key once, in the terms of `keys`; `docs` and `schema` make the
documentation's table and a JSON schema from that, as the command line makes its help.

Every fault is collected and raised in one `ConfigurationError`, each with its path, as in
`$.symbols[0]`, and with the allowed values. `yaml_text` is apart because most runs read no YAML.

Nothing here opens a file: callers read it, and pass its text on. Secrets are kept for the run and
never shown in a repr or an error.
"""
