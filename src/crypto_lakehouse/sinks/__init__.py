"""Those who listen to a run: the ledger, logs, event files, terminals."""
