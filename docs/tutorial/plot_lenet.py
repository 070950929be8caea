"""
A
=
b
"""

print(1)
