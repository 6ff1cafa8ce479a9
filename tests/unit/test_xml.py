"""What an XML document says, walked as a stream, and the texts in it as numbers and times."""

import struct
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest

from fitness.adapters.files.clocks import moment, seconds
from fitness.adapters.files.numbers import number, numbers, usable_number
from fitness.adapters.files.xml import MAX_DEPTH, MAX_TEXT_LENGTH, Element, read_xml
from fitness.domain.model.file_refusals import RecordingCorrupt

AT = datetime(2026, 5, 3, 7, 30, 7, tzinfo=UTC)


def rows_of(content: str) -> list[dict[str, str]]:
    """Of a document whose rows are `p`, with cells `a`, `b` in `in`, and `x` anywhere in `any`."""
    rows: list[dict[str, str]] = []
    cells = {
        "a": Element(cell="a"),
        "in": Element({"b": Element(cell="b")}),
        "any": Element({"x": Element(cell="x")}, anywhere=True),
    }
    read_xml(content.encode(), {"root": Element({"p": Element(cells, row=rows.append)})})
    return rows


def titles_of(content: str) -> list[str]:
    titles: list[str] = []
    read_xml(content.encode(), {"root": Element({"t": Element(text=titles.append)})})
    return titles


class TestRows:
    def test_a_row_is_its_attributes_and_its_cells(self):
        rows = rows_of('<root><p lat="1"> <a>2</a> <in><b> 3 </b></in> </p>\n<p/>\n<p><a>4</a></p></root>')
        assert rows == [{"lat": "1", "a": "2", "b": " 3 "}, {}, {"a": "4"}]

    def test_a_cell_has_its_own_place(self):
        assert rows_of("<root><a>1</a><p><b>2</b><in><a>3</a></in><any><a>4</a></any></p><in><b>5</b></in></root>") == [
            {}
        ]

    def test_a_cell_may_be_anywhere_below(self):
        assert rows_of("<root><p><any><n:y><n:x>1</n:x></n:y></any></p></root>") == [{"x": "1"}]
        assert rows_of("<root><p><any><y><z/><x>1</x></y></any></p></root>") == [{"x": "1"}]

    def test_the_last_cell_of_a_name_counts(self):
        assert rows_of("<root><p><a>1</a><a>2</a></p></root>") == [{"a": "2"}]

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("", ""),
            ("1&#50;3", "123"),
            ("1<!-- 2 -->3", "13"),
            ("1<![CDATA[<2>]]>3", "1<2>3"),
            ("1<?x 2?>3", "13"),
            ("1\n2", "1\n2"),
        ],
    )
    def test_the_text_of_a_cell_is_all_of_it(self, written: str, said: str):
        assert rows_of(f"<root><p><a>{written}</a></p></root>") == [{"a": said}]

    @pytest.mark.parametrize("before", range(65_400, 65_600, 7))
    def test_a_cell_may_lie_across_two_pieces_of_the_file(self, before: int):
        assert rows_of(f"<root>{' ' * before}<p><a>123.456</a><in><b>7.89</b></in></p></root>") == [
            {"a": "123.456", "b": "7.89"}
        ]

    def test_a_row_that_is_cut_off_is_given_as_far_as_it_goes(self):
        assert rows_of('<root><p lat="1"><a>2</a><in><b>3') == [{"lat": "1", "a": "2"}]

    def test_what_is_known_is_found_after_very_many_names(self):
        many = "".join(f"<n{number}/>" for number in range(20_000))
        row = "<p><a>1</a><any><y><x>2</x></y></any></p>"
        assert rows_of(f"<root>{many}{row}{row}</root>") == [{"a": "1", "x": "2"}] * 2


class TestTexts:
    @pytest.mark.parametrize(
        ("written", "said"),
        [
            (" one\n", "one"),
            ("one<b/>two", "two"),
            ("one<b>two</b>three", "twothree"),
            ("one<b>two<c/>three</b>", "three"),
            ("one<t>two</t>", "two"),
        ],
    )
    def test_a_text_is_what_came_since_the_last_tag_that_began(self, written: str, said: str):
        assert titles_of(f"<root>no<t>{written}</t>no</root>") == [said]

    def test_a_long_text_is_cut(self):
        assert titles_of(f"<root><t>{'long ' * 50_000}</t><t>short</t></root>") == [
            ("long " * 1_000)[:MAX_TEXT_LENGTH].strip(),
            "short",
        ]

    @pytest.mark.parametrize("inside", ["", "<t>", "<x>"])
    def test_elements_have_a_depth(self, inside: str):
        def nested(depth: int) -> str:
            names = ["root", *filter(None, [inside.strip("<>")]), *["y"] * depth][:depth]
            return "".join(f"<{name}>" for name in names) + "".join(f"</{name}>" for name in reversed(names))

        titles_of(nested(MAX_DEPTH))
        with pytest.raises(RecordingCorrupt, match="nested"):
            titles_of(nested(MAX_DEPTH + 1))


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("<root>\n<a<", "line 2, column 2: there is a character that is not allowed there"),
            ("<root>\x01", "line 1, column 6: there is a character that is not allowed there"),
            ("root", "line 1, column 0: there is something that is no markup"),
            ("<root>\n<t></x>", "line 2, column 5: a tag ends another element than the one that is open"),
            ('<root a="" a="">', "line 1, column 11: an element has the same attribute twice"),
            ("<root/><root/>", "line 1, column 7: something follows the end of the document"),
            ("<root>&e;", "line 1, column 6: there is an entity that is not defined"),
            ("<root>&#0;", "line 1, column 6: there is a reference to a character that is none"),
            (' <?xml version="1.0"?><root/>', "line 1, column 1: the XML declaration is not at the start"),
            ('<?xml version="1.0" x=""?><root/>', "line 1, column 20: the XML declaration is wrong"),
            ('<?xml version="1.0" encoding="UTF-16"?><root/>', "the document has another encoding than it declares"),
            ("", "line 1, column 0: the document ends too early"),
        ],
    )
    def test_it_is_told_what_and_where(self, content: str, said: str):
        with pytest.raises(RecordingCorrupt) as refusal:
            titles_of(content)
        assert str(refusal.value).startswith("the file is damaged: its XML is wrong at line ")
        assert str(refusal.value).endswith(said)


class TestNumbers:
    @pytest.mark.parametrize("seed", range(5))
    def test_a_number_is_what_float_makes_of_it(self, seed: int):
        random = Random(seed)
        for _ in range(2_000):
            for text in (
                repr(random.uniform(-180, 180)),
                f"{random.uniform(-180, 180):.{random.randrange(1, 25)}f}",
                f"{random.randrange(10**17)}.{random.randrange(10**17)}e{random.randrange(-300, 280)}",
                repr(struct.unpack("d", random.randbytes(7) + b"\x40")[0]),
            ):
                assert number(text) == float(text), text

    @pytest.mark.parametrize(
        "text", ["", "+1", "01", "1.", ".5", "1_0", "NaN", "inf", "1e400", "null", "true", '"1"', "1 2"]
    )
    def test_what_json_does_not_write_is_refused(self, text: str):
        with pytest.raises(msgspec.DecodeError):
            number(text)

    def test_those_that_are_refused_are_read_as_float_does(self):
        said: dict[str, str] = {"a": "+1", "b": "01.50", "c": " .5\n"}
        assert numbers(said, "abc") == [1, 1.5, 0.5]

    def test_what_is_none_leaves_the_others(self):
        known = [value if value == value else None for value in numbers({"a": "+1", "b": "x", "c": "inf"}, "abcd")]
        assert known == [1, None, None, None]

    @pytest.mark.parametrize(("text", "usable"), [("1" * 39, True), ("1" * 40, False), (f"{' ' * 40}1", True)])
    def test_a_number_of_very_many_digits_is_none(self, text: str, usable: bool):
        assert (usable_number(text) == usable_number(text)) is usable


class TestTimes:
    @pytest.mark.parametrize(
        "form",
        ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%SZ", "%Y-%m-%d %H:%M:%SZ",
         "\n %Y-%m-%dT%H:%M:%SZ ", "\n %Y%m%dT%H%M%SZ ", "%G-W%V-%uT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000000000Z"],
    )  # fmt: skip
    def test_a_time_is_read_in_each_form(self, form: str):
        for later in (0, 1, 52, 53, 86_400, -1, -2_000_000_000):
            at = AT + timedelta(seconds=later)
            assert seconds(at.strftime(form)) == at.timestamp()

    def test_digits_may_be_left_out(self):
        assert seconds("2026-5-3T7:30:7Z") == AT.timestamp()
        assert seconds("2026-5-3T7:30:07.25Z") == AT.timestamp() + 0.25

    @pytest.mark.parametrize("offset", ["+02:00", "+0200", "+02"])
    def test_an_offset_counts(self, offset: str):
        assert seconds(f"2026-05-03T09:30:07{offset}") == AT.timestamp()
        assert seconds(f"2026-05-03T09:30:07.25{offset}") == AT.timestamp() + 0.25

    @pytest.mark.parametrize(
        "text",
        ["", "Z", "00Z", "2026-05-03T07:30:60Z", "2026-05-03T07:60:00Z", "2026-02-30T07:30:00Z", "2026-13-01T07:30:00Z",
         "0000-01-01T00:00:00Z", "2026-05-03T07:30+00Z", "2026-05-03T07-30-00Z", "２０２６-05-03T07:30:00Z"],
    )  # fmt: skip
    def test_what_is_no_time_is_none(self, text: str):
        assert (seconds(text), moment(text)) == (None, None)
