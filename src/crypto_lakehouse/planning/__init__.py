"""What the publisher offers, what is wanted of it, and by which periods."""
