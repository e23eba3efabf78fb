"""The command `crypto-lakehouse`: parse, call, render, exit code; no logic of its own."""
