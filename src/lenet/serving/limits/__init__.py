"""The limits of a server, and the code that enforces them."""
