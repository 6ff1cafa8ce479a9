"""XML read as a stream: by one parser, from the file's own bytes, without a DTD, in memory that does not grow with it.

A document is described as a tree of `Element`s, each with what to do where one begins or ends. What the tree does not
name is skipped. Nothing is kept of an element but its text, and that only until the next tag or the end of its row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from fitness.domain.model.file_refusals import RecordingCorrupt, RecordingUnknown

ENCODINGS = ("UTF-8", "UTF-16", "ISO-8859-1")
"""Expat decodes these by itself. For any other one it asks Python, whose codec of that name may read other characters
than every other XML parser does: markup could hide from one and show to the other."""

MAX_DEPTH = 100
MAX_TEXT_LENGTH = 4_000
"""Of an element's text so much is kept."""

MAX_MARKUP_BYTES = 1_000_000
"""A tag or a comment, of which the parser keeps all, and begins it anew with each piece until its end is there."""

_CHUNK_BYTES = 64 * 1024

_MOST_NAMES = 10_000
"""Of so many names, in all of the document, it is remembered what to do with them at their place."""

_CUT = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
"""What is wrong with a document that ends too early, once its end was told to the parser."""

_WRONG = {
    expat.errors.codes[message]: what
    for message, what in (
        (expat.errors.XML_ERROR_INVALID_TOKEN, "there is a character that is not allowed there"),
        (expat.errors.XML_ERROR_SYNTAX, "there is something that is no markup"),
        (expat.errors.XML_ERROR_TAG_MISMATCH, "a tag ends another element than the one that is open"),
        (expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE, "an element has the same attribute twice"),
        (expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT, "something follows the end of the document"),
        (expat.errors.XML_ERROR_UNDEFINED_ENTITY, "there is an entity that is not defined"),
        (expat.errors.XML_ERROR_BAD_CHAR_REF, "there is a reference to a character that is none"),
        (expat.errors.XML_ERROR_MISPLACED_XML_PI, "the XML declaration is not at the start"),
        (expat.errors.XML_ERROR_XML_DECL, "the XML declaration is wrong"),
        (expat.errors.XML_ERROR_INCORRECT_ENCODING, "the document has another encoding than it declares"),
    )
}
"""What the parser finds in files, in our words."""


@dataclass(slots=True, eq=False)
class Element:
    """What to do with an element. Children are told apart by their names, whatever their namespaces."""

    children: Mapping[str, "Element"] = field(default_factory=dict)
    began: Callable[[dict[str, str]], object] | None = None
    """Is given the attributes."""
    ended: Callable[[], object] | None = None
    text: Callable[[str], object] | None = None
    """Is given the text since the last tag that began, once the element ended."""
    row: Callable[[dict[str, str]], object] | None = None
    """In place of `began` and `ended`, where an element comes a million times: is given, once it ended, its attributes
    and with them the texts of its cells. Rows do not nest."""
    cell: str | None = None
    """Makes the element a cell of the row that it is in, at any depth, and is the name of its text there. That is as
    it was written, with blanks around. Of cells of one name the last one counts."""
    anywhere: bool = False
    """Whether `children` are looked for at any depth, below elements that have no name here."""

    def child(self, name: str) -> "Element":
        child = self.children.get(name) or self.children.get(name.rpartition(":")[2])
        if child is None:
            child = Element(self.children, anywhere=True) if self.anywhere else _SKIPPED
        return child


_SKIPPED = Element()


class _Place:
    """A path in the document, such as gpx/trk/trkseg/trkpt: a million elements may be at one place.

    It has copies of what its Element says, since that is asked for at every tag.
    """

    __slots__ = ("above", "began", "cell", "depth", "element", "ended", "found", "in_text", "row", "skipped", "text")

    def __init__(self, element: Element, above: "_Place | None" = None) -> None:
        self.element = element
        self.above = above or self
        self.depth: int = above.depth + 1 if above else 0
        if self.depth > MAX_DEPTH:
            raise RecordingCorrupt(f"its XML is nested more than {MAX_DEPTH} deep")
        self.found: dict[str, _Place] = {}
        """Those right below, by their names as they are written, prefixes and all."""
        self.skipped: _Place | None = None
        """The one below for all names that are skipped."""
        self.began, self.ended, self.row = element.began, element.ended, element.row
        self.text, self.cell = element.text, element.cell
        self.in_text: bool = self.cell is not None or self.text is not None or (above is not None and above.in_text)
        """Whether a tag that begins here begins a text, or begins it anew."""


class _Document(Element):
    """What is above the root. `children` are the roots that are known."""

    def child(self, name: str) -> Element:
        local = name.rpartition(":")[2]
        if local not in self.children:
            raise RecordingUnknown
        self.root = local
        return self.children[local]

    root = ""


def read_xml(content: bytes, roots: Mapping[str, Element]) -> tuple[str, bool]:
    """Walk the document below that one of `roots` which is its own. Returns its name, and whether the document is
    whole.

    One that is cut off is walked as far as it goes: then `ended` and `row` are called for what is open, `text` is not.
    Raises RecordingUnknown where no root is known, RecordingCorrupt for what is no XML, has a DTD (and so entities) or
    declares an encoding that is not in ENCODINGS. What the Elements' functions raise is passed on.
    """
    document = _Document(roots)
    parser, end_all = _parser(document)
    with memoryview(content) as view:
        try:
            for at in range(0, len(view), _CHUNK_BYTES):
                parser.Parse(view[at : at + _CHUNK_BYTES], False)
                if at - parser.CurrentByteIndex > MAX_MARKUP_BYTES:
                    raise RecordingCorrupt(f"its XML has a tag or a comment of more than {MAX_MARKUP_BYTES} bytes")
        except expat.ExpatError as error:
            raise _corrupt(error) from error
    try:
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        if error.code not in _CUT or not document.root:
            raise _corrupt(error) from error
        end_all()
        return document.root, False
    return document.root, True


def _corrupt(error: expat.ExpatError) -> RecordingCorrupt:
    what = "the document ends too early" if error.code in _CUT else _WRONG.get(error.code, "it is not well-formed")
    return RecordingCorrupt(f"its XML is wrong at line {error.lineno}, column {error.offset}: {what}")


def _parser(document: Element) -> tuple[expat.XMLParserType, Callable[[], None]]:
    """A parser that calls the elements' functions, and what ends the elements that are open, the innermost first.

    Closures over local variables: of all ways to be called a million times they take the least time. The parser is told
    to pass text on only where it is asked for: most of it is the blanks between two tags, and each is a call.
    """
    place = _Place(document)
    row: dict[str, str] = {}
    texts: list[str] = []
    listen = texts.append
    names_left = _MOST_NAMES
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal place, row
        try:
            place = place.found[name]
        except KeyError:
            place = below(name)
        if place.in_text:
            parser.CharacterDataHandler = listen
            texts.clear()
        elif place.row is not None:
            row = attributes
        elif place.began is not None:
            place.began(attributes)

    def end(_: str) -> None:
        nonlocal place
        ended, place = place, place.above
        if ended.cell is not None:
            parser.CharacterDataHandler = None
            row[ended.cell] = texts[0] if len(texts) == 1 else text()
        elif ended.text is not None:
            parser.CharacterDataHandler = None
            ended.text(text().strip())
        elif ended.row is not None:
            ended.row(row)
        elif ended.ended is not None:
            ended.ended()

    def text() -> str:
        return "".join(texts)[:MAX_TEXT_LENGTH]

    def below(name: str) -> _Place:
        """For a name that is not remembered here."""
        nonlocal names_left
        element = place.element.child(name)
        if element is _SKIPPED:
            found = place.skipped = place.skipped or _Place(element, place)
        else:
            found = _Place(element, place)
        if names_left:
            names_left -= 1
            place.found[name] = found
        return found

    def end_all() -> None:
        nonlocal place
        while place.depth:
            if place.row is not None:
                place.row(row)
            elif place.ended is not None:
                place.ended()
            place = place.above

    parser.buffer_text = True
    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    return parser, end_all


def _check_encoding(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ENCODINGS:
        raise RecordingCorrupt(f"its XML declares the encoding {encoding[:40]!r}; known are {', '.join(ENCODINGS)}")


def _refuse_dtd(name: str, *_: object) -> None:
    raise RecordingCorrupt("its XML has a DTD, which is refused since it may define entities")
