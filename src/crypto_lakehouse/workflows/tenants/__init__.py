"""Several tenants of a configuration at once: each with its own run, report and end.

- `loading` makes the configurations of all tenants, and names the faults of all of them.
- `budgets` divides what the file allows for a host between them.
- `tenant_runs` runs them side by side; `running` does so in one call.

`workflows.monitoring.of_tenants` keeps their metrics apart under one listener.
"""
