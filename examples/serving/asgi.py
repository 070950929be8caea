"""The ASGI application for uvicorn and gunicorn, configured by environment variables; docs/hosting.md explains it.

LENET_MODEL is a model file, a run folder or mnist, the default. LENET_TOKEN is the token that clients must send as
"Authorization: Bearer TOKEN"; LENET_TOKEN_FILE is the path of a file that contains it.
"""

import logging
import os

from lenet.serving import create_app
from lenet.serving.tokens import token_of

logging.basicConfig(format="%(message)s")
logging.getLogger("lenet.serving").setLevel(logging.INFO)  # logs a line of JSON per request

app = create_app({"digits": os.environ.get("LENET_MODEL") or "mnist"}, token=token_of(os.environ))
