"""Each rule of .ci/semgrep.yml finds a planted example."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.release
ROOT = Path(__file__).parents[2]
RULES = ROOT / ".ci" / "semgrep.yml"
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"  # in parts, or else this file would be a finding itself

# A rule, where its example lies, and the example: each line of it is a finding.
PLANTED = [
    (
        "no-code-from-text",
        "src/lenet/a.py",
        "eval(x)\nexec(x)\ncompile(x, '', 'eval')\n__import__(x)\nbuiltins.eval(x)",
    ),
    ("no-code-from-text", "benchmarks/a.py", "eval('1')\nrunpy.run_path(x)"),
    ("no-pickles", "src/lenet/b.py", "pickle.load(f)\npickle.loads(b)\npickle.Unpickler(f)\nmarshal.loads(b)"),
    ("no-pickles", "src/lenet/c.py", "shelve.open(x)\njoblib.load(x)\npandas.read_pickle(x)\ntorch.load(x)"),
    ("no-pickles", "src/lenet/d.py", "torch.load(x, weights_only=False)\nnumpy.load(x, allow_pickle=True)"),
    ("no-processes", "src/lenet/f.py", "import subprocess\nos.execv(x, y)\nos.spawnl(x)\nos.fork()"),
    ("no-processes", "src/lenet/serving/a.py", "asyncio.create_subprocess_shell(x)"),
    ("no-network", "src/lenet/g.py", "import socket\nimport urllib.request\nfrom http import client\nimport requests"),
    ("no-reading-without-end", "src/lenet/j.py", "f.read()\nPath(p).read_bytes()\np.read_text('utf-8')\nf.readlines()"),
    ("no-secrets", "src/lenet/k.py", "token = 'Zk3" + "9vQx8TfLw2Rb7'\nx = 'AKIA" + "IOSFODNN7EXAMPLE'"),
    ("no-secrets", "tests/a.py", "x = 'AKIA" + "IOSFODNN7EXAMPLE'"),
    ("no-secrets", "deploy.yaml", "api_key: 'Zk3" + "9vQx8TfLw2Rb7'\nx: ghp_" + "x" * 36 + f"\nkey: {KEY}"),
]
# Code that no rule forbids.
HARMLESS = {
    "src/lenet/fine.py": """
import re, asyncio_like
re.compile(x)
model.eval()
torch.load(x, weights_only=True)
numpy.load(x)
json.load(f)
file.read(most + 1)
os.replace(a, b)
os.fsync(d)
TOKEN = "LENET_TOKEN"
eval(x)  # nosemgrep: no-code-from-text
""",
    "src/lenet/serving/fine.py": "import socket\nimport asyncio\n",
    "src/lenet/data/openml.py": "from urllib.error import URLError\n",
    "benchmarks/fine.py": "import subprocess\nsubprocess.run([x])\n",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """The findings of semgrep in the examples: the rule, the file and the line of each."""
    if shutil.which("semgrep") is None:
        pytest.skip("needs semgrep: pip install --group audit")
    folder = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / ".semgrepignore", folder)
    for name, text in [*HARMLESS.items(), *((name, text) for _, name, text in PLANTED)]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [
        "semgrep",
        "scan",
        "--config",
        RULES,
        "--metrics=off",
        "--disable-version-check",
        "--quiet",
        "--json",
        ".",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    return {(each["check_id"].rpartition(".")[2], each["path"], each["start"]["line"]) for each in results}


@pytest.mark.parametrize(("rule", "name", "text"), PLANTED, ids=[f"{rule} in {name}" for rule, name, _ in PLANTED])
def test_each_line_of_a_planted_example_is_found(findings, rule, name, text):
    lines = {line for found, path, line in findings if (found, path) == (rule, name)}
    assert lines == set(range(1, len(text.splitlines()) + 1))


def test_each_rule_has_an_example():
    rules = set(re.findall(r"^  - id: (\S+)", RULES.read_text(), re.MULTILINE))
    assert rules == {rule for rule, _, _ in PLANTED}


def test_harmless_code_is_not_found(findings):
    assert {found for found in findings if found[1] in HARMLESS} == set()
