"""Builds for other platforms, and their tests, on a Linux machine without any of them."""
