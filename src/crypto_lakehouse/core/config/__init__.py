"""The configuration of a run: `workflow_config.WorkflowConfig`, validated before the run starts.

1. `sources` turns text in JSON, TOML or YAML, and environment variables, into plain values.
2. `layers` merges them, the profile (`profiles`) and the tenant (`tenants`): for each key the later
   source wins. `tenant_places` finds tenants that would write to one place.
3. `values` converts each value to its type, and rejects ambiguous values.
4. `rules` checks for unknown and outdated keys, and for combinations that cannot run.

`workflow_keys` describes each key once, with the types in `keys`. The table in the documentation
(`docs`), the JSON schema (`schema`) and the help of the command line are generated from it.

All errors are collected and raised in one `ConfigurationError`, each with its path, such as
`$.symbols[0]`, and the allowed values. `yaml_text` is a separate module because most runs do not
read YAML.

This package opens no files: callers read them and pass the text. Secrets are kept for the run, and
never appear in a repr or an error.
"""
