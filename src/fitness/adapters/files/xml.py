"""XML read as a stream: by one parser, from the file's own bytes, without a DTD, in memory that does not grow with it.

A document is described as a tree of `Element`s, each with what to do where one begins or ends. What the tree does not
name is skipped. Nothing is kept of an element but its text, and that only where somebody asked for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from fitness.domain.model.refusals import RecordingCorrupt, RecordingUnknown

ENCODINGS = ("UTF-8", "UTF-16", "ISO-8859-1")
"""Expat decodes these by itself. For any other one it asks Python, whose codec of that name may read other characters
than every other XML parser does: markup could hide from one and show to the other."""

MAX_DEPTH = 100
MAX_TEXT_LENGTH = 4_000
"""Of an element's text so much is kept."""

MAX_MARKUP_BYTES = 1_000_000
"""A tag or a comment, of which the parser keeps all, and begins it anew with each piece until its end is there."""

_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class Element:
    """What to do with an element. Children are told apart by their names, whatever their namespaces."""

    children: Mapping[str, "Element"] = field(default_factory=dict)
    began: Callable[[dict[str, str]], None] | None = None
    """Is given the attributes."""
    text: Callable[[str], None] | None = None
    """Is given the text before the first child, once the element ended."""
    ended: Callable[[], None] | None = None
    anywhere: bool = False
    """Whether `children` are looked for at any depth, below elements that have no name here."""


def read_xml(content: bytes, roots: Mapping[str, Element]) -> str:
    """Walk the document below that one of `roots` which is its own, whose name is returned.

    Raises RecordingUnknown where none is, RecordingCorrupt for what is no XML, has a DTD (and so entities) or declares
    an encoding that is not in ENCODINGS. What the Elements' functions raise is passed on.
    """
    walk = _Walk(roots)
    with memoryview(content) as view:
        try:
            for at in range(0, len(view), _CHUNK_BYTES):
                walk.parser.Parse(view[at : at + _CHUNK_BYTES], False)
                if at - walk.parser.CurrentByteIndex > MAX_MARKUP_BYTES:
                    raise RecordingCorrupt(f"its XML has a tag or a comment of more than {MAX_MARKUP_BYTES} bytes")
            walk.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise RecordingCorrupt(f"its XML is refused: {error}") from error
    return walk.root


class _Walk:
    """One document on its way through the parser."""

    def __init__(self, roots: Mapping[str, Element]) -> None:
        self.root = ""
        self._element = Element(roots)
        self._above: list[Element] = []
        self._skipped = 0
        """Elements that are open and not asked for."""
        self._texts: list[str] = []
        self._length = 0
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._refuse_dtd
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.upper() not in ENCODINGS:
            raise RecordingCorrupt(f"its XML declares the encoding {encoding[:40]!r}; known are {', '.join(ENCODINGS)}")

    def _refuse_dtd(self, name: str, *_: object) -> None:
        raise RecordingCorrupt("its XML has a DTD, which is refused since it may define entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._skipped:
            self._deeper()
            return
        element = self._element
        child = element.children.get(name) or element.children.get(name.rpartition(":")[2])
        if not self._above:
            if child is None:
                raise RecordingUnknown
            self.root = name.rpartition(":")[2]
        if child is None:
            if not element.anywhere:
                self._skipped = 1
                self.parser.CharacterDataHandler = None
                return
            child = element
        self._above.append(element)
        if len(self._above) > MAX_DEPTH:
            self._refuse_depth()
        self._element = child
        if child.began is not None and child is not element:
            child.began(attributes)
        self.parser.CharacterDataHandler = None if child.text is None else self._keep

    def _end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        element, self._element = self._element, self._above.pop()
        if element.text is not None:
            self.parser.CharacterDataHandler = None
            if self._texts:
                element.text("".join(self._texts).strip())
                self._texts.clear()
                self._length = 0
        if element.ended is not None and element is not self._element:
            element.ended()

    def _keep(self, text: str) -> None:
        kept = text[: MAX_TEXT_LENGTH - self._length]
        if kept:
            self._texts.append(kept)
            self._length += len(kept)

    def _deeper(self) -> None:
        self._skipped += 1
        if self._skipped + len(self._above) > MAX_DEPTH:
            self._refuse_depth()

    def _refuse_depth(self) -> None:
        raise RecordingCorrupt(f"its XML is nested more than {MAX_DEPTH} deep")


def number(text: str) -> float:
    """Raises RecordingCorrupt."""
    try:
        return float(text)
    except ValueError as error:
        raise RecordingCorrupt(f"{text[:40]!r} is no number") from error
