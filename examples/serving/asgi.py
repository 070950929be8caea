"""The application for uvicorn and gunicorn, which takes its settings from the environment.

    uvicorn asgi:app --http asgi:protocol --ws none --no-access-log --timeout-graceful-shutdown 40
    gunicorn asgi:app                                       # reads gunicorn.conf.py

LENET_MODEL names a .safetensors file; without it, the weights that are shipped are served.
LENET_TOKEN is what clients have to send as "Authorization: Bearer".
"""

import functools
import logging
import os

import lenet
from lenet.serving import Limits, create_app
from lenet.serving.calls import log_call
from lenet.serving.connections import TimedProtocol

logging.basicConfig(format="%(message)s")
logging.getLogger("lenet.serving").setLevel(logging.INFO)  # a line of JSON for each request

limits = Limits()
app = create_app(
    {"digits": os.environ.get("LENET_MODEL") or lenet.load_pretrained()},
    limits=limits,
    token=os.environ.get("LENET_TOKEN"),
)
protocol = functools.partial(TimedProtocol, limits=limits, on_request=log_call)  # closes connections that are too slow
