"""The application for uvicorn and gunicorn, which takes its settings from the environment; docs/hosting.md runs it.

LENET_MODEL names a .safetensors file; without it, the weights that are shipped are served. LENET_TOKEN is what clients
have to send as "Authorization: Bearer".
"""

import logging
import os

import lenet
from lenet.serving import create_app

logging.basicConfig(format="%(message)s")
logging.getLogger("lenet.serving").setLevel(logging.INFO)  # a line of JSON for each request

app = create_app(
    {"digits": os.environ.get("LENET_MODEL") or lenet.load_pretrained()}, token=os.environ.get("LENET_TOKEN")
)
