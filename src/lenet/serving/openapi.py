"""placeholder"""


def document(limits):
    return {}
