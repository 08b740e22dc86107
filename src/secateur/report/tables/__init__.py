"""Tables on the terminal and as files."""
