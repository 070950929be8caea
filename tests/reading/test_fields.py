"""The fields of forms, as they are made, checked and loaded."""

import json

import pytest

from lenet.errors import DataError, InputError, InputTypeError
from lenet.reading import Field, FieldValue, fields, load_fields


def test_a_field_has_the_place_that_it_was_given():
    field = Field("total", box=[0, 0.25, 0.5, 0.75])
    assert (field.box, field.cell, field.grid, field.digits, field.checksum) == (
        (0, 0.25, 0.5, 0.75),
        None,
        0,
        None,
        None,
    )
    assert all(isinstance(each, float) for each in field.box)
    assert Field("q", cell=[2, 3], grid=4).cell == (2, 3)
    assert Field("q", cell=(2, 3), grid=[3, 4]).grid == (3, 4)
    assert Field("q", [0, 0, 1, 1], [2, 3], [3, 4]) == Field("q", (0, 0, 1, 1), (2, 3), (3, 4))
    assert Field("q", cell=(2, 3)) == Field("q", None, (2, 3), 0)


@pytest.mark.parametrize("option", ["box", "cell"])
@pytest.mark.parametrize("place", [(0,), (0, 0, 1, 1, 1), (0, 0, 1), "0011", {0, 1}, 3])
def test_a_place_has_four_or_two_numbers(option, place):
    with pytest.raises(
        InputTypeError, match=f"^{option} of the field a is .*; expected a list of {4 if option == 'box' else 2}"
    ):
        Field("a", **{option: place})


@pytest.mark.parametrize(
    "options", [{"grid": True}, {"grid": 0.5}, {"grid": None}, {"digits": 2.5}, {"cell": (0, 0.5)}]
)
def test_numbers_of_grids_cells_and_digits_are_whole(options):
    with pytest.raises(InputTypeError):
        Field("a", **{"cell": (0, 0), **options})


@pytest.mark.parametrize("name", ["", "-a", " a", "_a", "1", "a.b", "a\n", None, ["a"]])
def test_a_name_begins_with_a_letter(name):
    with pytest.raises(InputError, match=r"^A field has the name .*; expected a letter, followed by up"):
        Field(name, cell=(0, 0))


def weighed(weights, modulus, length):
    """The numbers of this length whose weighed digits, from the right, sum to a multiple of the modulus."""
    texts = [f"{number:0{length}}" for number in range(10**length)]
    return [text for text in texts if sum(w * int(d) for w, d in zip(weights, text[::-1], strict=True)) % modulus == 0]


@pytest.mark.parametrize(("checksum", "weights", "modulus"), [("ean", (1, 3, 1), 10), ("mod11", (1, 2, 3), 11)])
def test_checksums_weigh_digits_from_the_right(checksum, weights, modulus):
    field = Field("a", cell=(0, 0), checksum=checksum, digits=3)
    assert [text for text in (f"{n:03}" for n in range(1000)) if not field.problems(text)] == weighed(
        weights, modulus, 3
    )


def test_an_ean_has_8_12_13_or_14_digits_unless_the_field_has_another_number():
    zeros, sscc = Field("a", cell=(0, 0), checksum="ean"), Field("a", cell=(0, 0), checksum="ean", digits=18)
    assert [length for length in range(1, 30) if not zeros.problems("0" * length)] == [8, 12, 13, 14]
    assert [length for length in range(1, 30) if not sscc.problems("0" * length)] == [18]


def test_a_value_becomes_a_dict_of_plain_lists():
    value = FieldValue("total", "512", 0.5, ("confidence", "digits"), (1, 2, 3, 4))
    assert value.as_dict() == {
        "name": "total", "value": "512", "confidence": 0.5, "problems": ["confidence", "digits"], "box": [1, 2, 3, 4],
        "rotation": 0,
    }  # fmt: skip
    assert FieldValue("total", "", 0.0, ("no cell",)).as_dict()["box"] is None


def numbered(count):
    return [Field(f"f{n}", cell=(0, n)) for n in range(count)]


def test_there_are_1_to_1000_fields():
    assert fields.checked_fields(numbered(1)) == tuple(numbered(1))
    assert fields.checked_fields(tuple(numbered(1000))) == tuple(numbered(1000))
    with pytest.raises(InputError, match=r"^There are 1,001 fields; expected 1 to 1,000\.$"):
        fields.checked_fields(numbered(1001))
    with pytest.raises(InputError, match=r"^There are 0 fields"):
        fields.checked_fields([])
    with pytest.raises(InputTypeError, match="expected a path or a list of Field"):
        fields.checked_fields([*numbered(2), "f3"])
    with pytest.raises(InputTypeError, match="expected a path or a list of Field"):
        fields.checked_fields(iter(numbered(2)))
    with pytest.raises(
        InputError, match=r"^Field 3 has the name f1, but there is already a column f1; expected a name other"
    ):
        fields.checked_fields([*numbered(2), Field("f1", cell=(3, 3))])


@pytest.mark.parametrize(("value", "shown"), [("yes", '"yes"'), (1, "1"), (None, "null")])
def test_optional_is_true_or_false_as_in_json(tmp_path, value, shown):
    path = tmp_path / "fields.json"
    path.write_text(json.dumps([{"name": "a", "cell": [0, 0], "optional": value}]))
    with pytest.raises(DataError, match=rf"optional of the field 'a' is {shown}; expected true or false\.$"):
        load_fields(path)


def test_a_dict_in_place_of_a_field_is_an_error_with_a_remedy():
    with pytest.raises(
        InputTypeError, match=r"expected a path or a list of Field\. Convert each dict with Field\(\*\*entry\)\.$"
    ):
        fields.checked_fields([{"name": "a", "cell": (0, 0)}])


@pytest.mark.parametrize("file", [None, b"[]", []])
def test_fields_are_loaded_from_a_path_only(file):
    with pytest.raises(InputTypeError, match=r"^file is .*; expected the path of a JSON file of fields\.$"):
        load_fields(file)


def test_a_file_may_have_a_million_bytes(tmp_path):
    path = tmp_path / "fields.json"
    text = json.dumps(
        [
            {"name": "a", "box": [0, 0, 1, 1], "digits": 3, "checksum": "ean"},
            {"name": "b", "cell": [1, 2], "grid": 2, "optional": True},
        ]
    )
    path.write_text(text.ljust(1_000_000))
    assert load_fields(path) == (
        Field("a", (0, 0, 1, 1), digits=3, checksum="ean"),
        Field("b", cell=(1, 2), grid=2, optional=True),
    )
    path.write_text(text.ljust(1_000_001))
    with pytest.raises(
        DataError, match=r"fields\.json has more than 1,000,000 bytes; expected a JSON list of fields\."
    ):
        load_fields(path)
