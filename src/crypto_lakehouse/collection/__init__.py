"""From a plan to verified bytes: queue, workers, transfers, verdicts, events."""
