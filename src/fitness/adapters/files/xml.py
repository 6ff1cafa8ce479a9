"""XML read as a stream: by one parser, from the file's own bytes, without a DTD, in memory that does not grow with it.

A document is described as a tree of `Element`s, each with functions to call where such an element begins or ends.
Elements that the tree does not name are skipped. Only the text of an element is kept, and only until the next tag or
the end of its row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from fitness.domain.model.file_refusals import RecordingCorrupt, RecordingUnknown

ENCODINGS = ("UTF-8", "UTF-16", "ISO-8859-1")
"""Expat decodes these by itself. For any other encoding it asks Python, whose codec of that name may read other
characters than other XML parsers do: markup could be hidden from one parser and visible to another."""

MAX_DEPTH = 100
MAX_TEXT_LENGTH = 4_000
"""The number of characters of an element's text that are kept."""

MAX_MARKUP_BYTES = 1_000_000
"""The longest tag or comment: the parser keeps all of it, and begins it anew with each piece until its end is there."""

_CHUNK_BYTES = 64 * 1024

_MOST_NAMES = 10_000
"""The number of names in a document, each at its place, for which it is remembered what to do."""

_CUT = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
"""The parser's errors for a document that ends too early, once the parser was told of the end."""

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
"""The parser's other errors, in our words."""


@dataclass(slots=True, eq=False)
class Element:
    """What to do with an element. Children are told apart by their names, whatever their namespaces."""

    children: Mapping[str, "Element"] = field(default_factory=dict)
    began: Callable[[dict[str, str]], object] | None = None
    """Called with the attributes."""
    ended: Callable[[], object] | None = None
    text: Callable[[str], object] | None = None
    """Called once the element has ended, with the text since the last start tag."""
    row: Callable[[dict[str, str]], object] | None = None
    """In place of `began` and `ended`, for elements that come a million times: called once the element has ended, with
    its attributes and the texts of its cells. Rows do not nest."""
    cell: str | None = None
    """Makes the element a cell of the row that it is in, at any depth, and is the name of its text there. The text is
    as it was written, with blanks around. Of cells of one name the last one counts."""
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

    It copies the fields of its Element, since they are needed at every tag.
    """

    __slots__ = ("above", "began", "cell", "depth", "element", "ended", "found", "in_text", "row", "skipped", "text")

    def __init__(self, element: Element, above: "_Place | None" = None) -> None:
        self.element = element
        self.above = above or self
        self.depth: int = above.depth + 1 if above else 0
        if self.depth > MAX_DEPTH:
            raise RecordingCorrupt(f"its XML is nested more than {MAX_DEPTH} deep")
        self.found: dict[str, _Place] = {}
        """The places right below, by the names as they are written, with their prefixes."""
        self.skipped: _Place | None = None
        """The place below for all names that are skipped."""
        self.began, self.ended, self.row = element.began, element.ended, element.row
        self.text, self.cell = element.text, element.cell
        self.in_text: bool = self.cell is not None or self.text is not None or (above is not None and above.in_text)
        """Whether a tag that begins here begins a text, or begins it anew."""


class _Document(Element):
    """The level above the root. `children` are the known roots."""

    def child(self, name: str) -> Element:
        local = name.rpartition(":")[2]
        if local not in self.children:
            raise RecordingUnknown
        self.root = local
        return self.children[local]

    root = ""


def read_xml(content: bytes, roots: Mapping[str, Element]) -> tuple[str, bool]:
    """Walk the document below its root, one of `roots`. Returns the root's name, and whether the document is whole.

    A document that is cut off is walked as far as it goes: then `ended` and `row` are called for the open elements,
    `text` is not. Raises RecordingUnknown if the root is not known, RecordingCorrupt if the document is not XML, has a
    DTD (and so entities) or declares an encoding that is not in ENCODINGS. Exceptions of the Elements' functions are
    passed on.
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
    """A parser that calls the elements' functions, and a function that ends the open elements, the innermost first.

    The handlers are closures over local variables, the fastest functions to call a million times. The parser is told to
    pass text on only where it is needed: most text is the blanks between two tags, and each would be a call.
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
        """The place for a name that is not remembered here."""
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
