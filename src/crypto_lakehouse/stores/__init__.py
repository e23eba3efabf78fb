"""Where bytes and what is known of them are kept."""
