"""Side by side with what people use today; see the README one folder up."""
