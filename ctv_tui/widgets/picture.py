"""A picture in the terminal, where the extra ``pictures`` (textual-image) is installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

from textual.widget import Widget
from textual.worker import Worker, WorkerState

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_LONGEST_SIDE = 1200
_MOST_PIXELS = 100_000_000


def picture_widget() -> type[Widget] | None:
    """Return the widget class for pictures, or None where the extra is not installed.

    Must be called before the app runs: the library asks the terminal what it can draw.
    """
    if find_spec("textual_image") is None:
        return None
    try:
        from textual_image.widget import Image
    except Exception:  # a terminal that answers nonsense must not keep the dashboard from starting
        return None
    widget: type[Widget] = Image
    return widget


def load_picture(path: str) -> Any:
    """Return a small copy of a picture as a PIL image.

    Raises:
        OSError: no such file, not a picture, or one of a format or a size that is not opened.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise OSError(f"{image.width}×{image.height} pixels are too many to show")
            image.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
            image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
            return image.convert("RGB")


class PictureFrame(Widget):
    """Shows the picture of one path at a time; is hidden while there is none to show."""

    DEFAULT_CSS = """
    PictureFrame { width: 1fr; height: 1fr; align: center middle; }
    PictureFrame > * { width: 1fr; height: auto; max-height: 100%; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        kind = picture_widget()
        self._image: Any = kind() if kind is not None else None
        self._path: str | None = None
        self.display = False

    @property
    def is_available(self) -> bool:
        """Whether pictures can be shown at all."""
        return self._image is not None

    def compose(self) -> Any:
        """Show the one picture."""
        if self._image is not None:
            yield self._image

    def show(self, path: str | None) -> None:
        """Show the picture at ``path``, or nothing; it is decoded on a thread of its own."""
        if self._image is None or path == self._path:
            return
        self._path = path
        self.display = False
        self._image.image = None
        if path is not None:
            self.run_worker(
                lambda: load_picture(path), thread=True, exclusive=True, exit_on_error=False
            )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Take the decoded picture; one that can't be decoded stays hidden."""
        if event.state is WorkerState.SUCCESS and self._path is not None:
            self._image.image = event.worker.result
            self.display = True
