"""A plugin of coverage.py that names the running test as the context of each line, also in a test's child processes."""

import os

from coverage import CoveragePlugin


class RunningTest(CoveragePlugin):
    def dynamic_context(self, frame):
        # pytest's variable: "tests/test_model_input.py::test_shapes (call)"
        return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0] or None


def coverage_init(registry, options):
    registry.add_dynamic_context(RunningTest())
