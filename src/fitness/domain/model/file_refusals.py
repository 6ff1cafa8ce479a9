"""Why an uploaded file, a recording or a picture, is refused."""

from fitness.domain.model.refusals import Refusal


class RecordingRefused(Refusal):
    """A file from which no activity can be made."""


class RecordingEmpty(RecordingRefused):
    def __init__(self) -> None:
        super().__init__("the file is empty")


class RecordingTooLarge(RecordingRefused):
    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the file holds more than {max_bytes // 1_000_000} MB")


class RecordingTooManyActivities(RecordingRefused):
    def __init__(self, most: int) -> None:
        super().__init__(f"the file holds more than {most} activities")


class RecordingUnknown(RecordingRefused):
    def __init__(self) -> None:
        super().__init__("the file is neither FIT nor GPX nor TCX, plain or gzipped")


class RecordingCorrupt(RecordingRefused):
    def __init__(self, what: str) -> None:
        super().__init__(f"the file is damaged: {what}")


class RecordingWithoutActivity(RecordingRefused):
    def __init__(self) -> None:
        super().__init__("the file is sound but holds no activity")


class RecordingWithoutTimes(RecordingRefused):
    def __init__(self) -> None:
        super().__init__("the file holds a track without times, so no activity can be made of it")


class PhotoNotFound(Refusal):
    """Also said of somebody else's photo, in the very same words."""

    def __init__(self, photo_id: int) -> None:
        super().__init__(f"photo {photo_id} does not exist")


class PhotoMismatch(Refusal):
    """The photo is not, or no longer, in a state that the caller has named."""

    def __init__(self, photo_id: int) -> None:
        super().__init__(f"photo {photo_id} has changed since; read it again and repeat")


class TooManyPhotos(Refusal):
    def __init__(self, most: int) -> None:
        super().__init__(f"an activity has at most {most} photos; delete one first")


class PictureRefused(Refusal):
    """A file of which no photo can be made."""


class PictureEmpty(PictureRefused):
    def __init__(self) -> None:
        super().__init__("the file is empty")


class PictureTooLarge(PictureRefused):
    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the file is larger than {max_bytes // 1_000_000} MB")


class PictureTooManyPixels(PictureRefused):
    """More pixels than are read, or in a form that takes too much memory to read."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the picture is too large: {what}; send it with fewer pixels")


class PictureUnknown(PictureRefused):
    def __init__(self, what: str = "neither JPEG nor PNG nor WebP") -> None:
        super().__init__(f"the file is {what}")


class PictureCorrupt(PictureRefused):
    def __init__(self, what: str) -> None:
        super().__init__(f"the picture is damaged: {what}")
