"""Optional parts: each imports its package on first use, and the core knows none of them."""
