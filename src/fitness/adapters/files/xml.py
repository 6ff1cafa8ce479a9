"""XML read as a stream: by one parser, from the file's own bytes, without a DTD, in memory that does not grow with it.

A document is described as a tree of `Element`s, each with what to do where one begins or ends. What the tree does not
name is skipped. Nothing is kept of an element but its text, and that only until the next tag.
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

_MOST_NAMES = 1_000
"""Of an element's children these are found at once, whether they are asked for or not."""

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


@dataclass(slots=True, eq=False)
class Element:
    """What to do with an element. Children are told apart by their names, whatever their namespaces."""

    children: Mapping[str, "Element"] = field(default_factory=dict)
    began: Callable[[dict[str, str]], object] | None = None
    """Is given the attributes."""
    text: Callable[[str], object] | None = None
    """Is given the text since the last tag that began, once the element ended."""
    ended: Callable[[], object] | None = None
    anywhere: bool = False
    """Whether `children` are looked for at any depth, below elements that have no name here."""
    found: dict[str, "Element"] = field(default_factory=dict)
    """Children by their names as they are written, prefixes and all."""

    def child(self, name: str) -> "Element":
        child = self.children.get(name) or self.children.get(name.rpartition(":")[2])
        if child is None:
            child = Element(self.children, anywhere=True) if self.anywhere else _SKIPPED
        if len(self.found) < _MOST_NAMES:
            self.found[name] = child
        return child


_SKIPPED = Element()


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

    One that is cut off is walked as far as it goes: then `ended` is called for what is open, `text` is not. Raises
    RecordingUnknown where no root is known, RecordingCorrupt for what is no XML, has a DTD (and so entities) or
    declares an encoding that is not in ENCODINGS. What the Elements' functions raise is passed on.
    """
    document = _Document(roots)
    parser, open_elements = _parser(document)
    with memoryview(content) as view:
        try:
            for at in range(0, len(view), _CHUNK_BYTES):
                parser.Parse(view[at : at + _CHUNK_BYTES], False)
                if at - parser.CurrentByteIndex > MAX_MARKUP_BYTES:
                    raise RecordingCorrupt(f"its XML has a tag or a comment of more than {MAX_MARKUP_BYTES} bytes")
        except expat.ExpatError as error:
            raise RecordingCorrupt(f"its XML is refused: {error}") from error
    try:
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        if error.code not in _CUT or not document.root:
            raise RecordingCorrupt(f"its XML is refused: {error}") from error
        for element in open_elements():
            if element.ended is not None:
                element.ended()
        return document.root, False
    return document.root, True


def _parser(document: Element) -> tuple[expat.XMLParserType, Callable[[], list[Element]]]:
    """A parser that calls the elements' functions, and what tells which elements are open, the innermost first.

    Closures over local variables: of all ways to be called a million times they take the least time.
    """
    element = document
    above: list[Element] = []
    texts: list[str] = []
    push, pop, forget, join, most = above.append, above.pop, texts.clear, "".join, MAX_DEPTH

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal element
        push(element)
        if len(above) > most:
            raise RecordingCorrupt(f"its XML is nested more than {most} deep")
        element = element.found.get(name) or element.child(name)
        if element.began is not None:
            element.began(attributes)
        forget()

    def end(_: str) -> None:
        nonlocal element
        ended, element = element, pop()
        if ended.text is not None:
            ended.text(join(texts)[:MAX_TEXT_LENGTH].strip())
        if ended.ended is not None:
            ended.ended()

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.XmlDeclHandler = _check_encoding
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    return parser, lambda: [element, *reversed(above)]


def _check_encoding(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ENCODINGS:
        raise RecordingCorrupt(f"its XML declares the encoding {encoding[:40]!r}; known are {', '.join(ENCODINGS)}")


def _refuse_dtd(name: str, *_: object) -> None:
    raise RecordingCorrupt("its XML has a DTD, which is refused since it may define entities")
