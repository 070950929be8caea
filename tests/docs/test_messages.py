"""Every message of lenet follows one form, and docs/refusals.md quotes the messages as they are."""

import functools
import re
from pathlib import Path

from tests.messages import KINDS, PythonFile, collect, cython_messages, page_messages

REFUSALS = Path(__file__).parents[2] / "docs" / "refusals.md"
SENTENCES = ("error", "usage", "warning", "log")  # kinds whose messages are whole sentences
MAX_WORDS = 30
BANNED = re.compile(
    r"(^|[.:;] )(What|Who|Whoever) (?!the network (sees|reads)|it reads)"
    r"|\b(told|mended|wants?|goes on|go on|anew|askance)\b"
    r"|\bholds\b|floating pixels|is a \{type"  # "has dtype", "has" or "contains"; "floating-point"; "is of type"
    r"|no more than there may be|is not for|is no (digit|picture|file|number)\b|\bfacts\b|cannot become",
    re.IGNORECASE,
)
# Where the reader can do nothing but wait or retry, or where the operating system states the reason.
WITHOUT_ADVICE = re.compile(
    r"\(\{.*error.*\}\)|could not be written|could not be synced|disconnected|Internal server error|, which no model"
    r"|is not LeNet-5"
    r"|, row \{|was reloaded|failed\.$|keeps its current weights"
    r"|No such path|cannot be loaded: |: \{error\}$"
)
ADVICE = re.compile(
    r"expected|(^|[.:;,] |or |and )(Add|Assign|Build|Calibrate|Call|Change|Choose|Correct|Create|Delete|Download|Export"
    r"|Fill|Fit|GET|Increase|Install|Load|Make|Number|Omit|Pass|Put|Read|Rebuild|Remove|Rename|Resize|Restore|Retry|Run"
    r"|Save|Scale|Score|Send|Set|Shorten|Split|Start|Train|Try|Update|Use|Write)\b|requires|the model again\.$",
    re.IGNORECASE,
)


messages = functools.cache(collect)


def refused(is_right, *kinds):
    """List the messages of these kinds that fail a check, with their places."""
    found = [each for each in messages() if each.kind in kinds]
    assert found
    return [f"{each.module}:{each.line}: {each.text}" for each in found if not is_right(each.text)]


def sentences(text):
    """Split a text into sentences; the expressions in braces count as one word each."""
    plain = re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "X", text)
    return re.split(r"(?<=[.!?]) (?=[A-Z`'-])", plain)


def starts_with_a_capital_or_a_name(text):
    first = re.match(r"[\w.-]+", text)
    return text[0].isupper() or first is None or text[0] == "{" or re.fullmatch(r"-?-?[a-z][\w.]*(-\w+)*", first[0])


def test_a_message_is_made_of_sentences():
    assert refused(starts_with_a_capital_or_a_name, *SENTENCES) == []
    # a full stop, a colon before code, or another message
    assert refused(lambda text: text.endswith((".", ":", "}", "%s")) and "!" not in text, *SENTENCES) == []


def test_a_message_has_short_sentences_in_plain_words():
    assert refused(lambda text: not BANNED.search(text), *KINDS) == []
    assert refused(lambda text: max(len(each.split()) for each in sentences(text)) <= MAX_WORDS, *KINDS) == []


def test_an_error_states_what_was_expected_or_what_to_do():
    assert refused(lambda text: ADVICE.search(text) or WITHOUT_ADVICE.search(text), "error", "usage") == []


def test_a_help_text_is_a_phrase_in_lower_case():
    assert refused(lambda text: text[0].islower() or not text[0].isalpha(), "help") == []
    assert refused(lambda text: not text.endswith("."), "help") == []


def test_a_description_is_made_of_sentences():
    assert refused(lambda text: text.endswith("."), "about") == []


def test_the_collector_finds_every_kind():
    texts = {kind: [each.text for each in messages() if each.kind == kind] for kind in KINDS}
    for kind, known in {
        "error": "{name} has dtype {dtype}; expected uint8 pixels from 0 to 255, or floats in [0, 1].",
        "usage": "--model is {option or 'empty'}; expected FILE or NAME=FILE.",
        "warning": "Training was interrupted; the estimator keeps its current weights.",
        "log": "Worker %s %s and was replaced.",
        "help": "number of images per step",
        "about": "The token is missing or wrong.",
        "output": "Open {output} in a browser.",
        "page": "Draw a digit and watch LeNet-5 read it.",
        "part": "The server is at capacity. Retry after {retry_after} s.",
    }.items():
        assert known in texts[kind]
    assert len(texts["error"]) > 300
    assert len({each.module for each in messages()}) > 60


def test_the_collector_reads_every_form_of_a_literal():
    source = """
LIMIT = "at most"
def f(x):
    raise InputError(f"{x!r} is too {x:g} large; expected {LIMIT} 3. " "Scale it down.")
    parser.error("one " + "two")
    LOG.info("a %s thing", x)
    add(help="of the text" if x else "of the other text")
    raise ValueError("only a part")
"""
    found = [(each.kind, each.text) for each in PythonFile("m.py", source).messages()]
    assert found == [
        ("part", "at most"),
        ("error", "{x} is too {x} large; expected at most 3. Scale it down."),
        ("usage", "one two"),
        ("log", "a %s thing"),
        ("help", "of the text"),
        ("help", "of the other text"),
        ("part", "only a part"),
    ]
    assert [each.text for each in cython_messages("m.pyx", 'raise ValueError("a b " f"{c} d")')] == ["a b {c} d"]
    page = '<p title="A title">Some <b>bold</b> text</p><script type="module">f("Two words")</script>'
    assert [each.text for each in page_messages("m.html", page)] == ["A title", "Some bold text", "Two words"]


def quotes():
    """The messages in the lists, in one or two backticks, perhaps after a status."""
    return re.findall(r"^- (?:\d+: )?(`+) ?(.+?) ?\1$", REFUSALS.read_text("utf-8"), re.MULTILINE)


def test_the_guide_quotes_messages_as_they_are():
    texts = [each.text for each in messages() if each.kind != "about"]
    assert [quote for _, quote in quotes() if not any(matches(text, quote) for text in texts)] == []


def matches(text, quote):
    """Whether a quote is a message with its expressions replaced, and mostly made of the message's own words."""
    literals = re.split(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", text)
    pattern = ".+?".join(map(re.escape, literals))
    return sum(map(len, literals)) >= len(quote) / 3 and re.fullmatch(pattern, quote) is not None


def test_a_quote_that_is_not_a_message_is_found():
    assert len(quotes()) > 40
    assert not any(matches(each.text, "x has 783 columns; this is wrong.") for each in messages())
