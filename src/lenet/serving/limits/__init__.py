"""The limits of a server, and the middleware that enforces them."""
