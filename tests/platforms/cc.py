"""The compiler of Windows' Python: it passes each command to the server in windows.py, which runs gcc on Linux."""

import json
import socket
import sys
from pathlib import Path

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server, server.makefile("rw") as stream:
    print(json.dumps([str(Path.cwd()), *sys.argv[2:]]), file=stream, flush=True)
    code, output, errors = json.loads(stream.readline())
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
