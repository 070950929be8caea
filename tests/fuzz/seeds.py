"""Write every target's first inputs to its corpus: `python -m tests.fuzz.seeds [TARGET...]`."""

import sys

from tests.fuzz import CORPUS, TARGETS, target

for name in sys.argv[1:] or TARGETS:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in target(name).seeds().items():
        (folder / file).write_bytes(content)
