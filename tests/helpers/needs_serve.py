"""Skip the test files that import this module if a package of the extra `serve` is missing."""

import pytest

for package in ("starlette", "uvicorn", "prometheus_client", "python_multipart", "orjson", "httptools", "PIL", "cv2"):
    pytest.importorskip(package)
