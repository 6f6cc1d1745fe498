"""Why did it change? The items that are like this, and one item with its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Hide, Resize, Show
from textual.widgets import Input

from ctv_tui.data.item_rows import ITEM_FILTERS, ITEM_ORDERS, ItemPage, ItemQuery
from ctv_tui.screens.actions import Action, pane_action
from ctv_tui.screens.chosen import checkpoint_actions, choose_checkpoint
from ctv_tui.screens.pane import Pane
from ctv_tui.widgets.item_list import Choices, ItemList
from ctv_tui.widgets.item_view import ItemView
from ctv_tui.widgets.picture import PictureFrame

_LOADED = 200
_LEAST_PICTURE_WIDTH = 100
_LONGEST_SEARCH = 200
T = TypeVar("T")


def _action(name: str, keys: tuple[str, ...], shown: str, description: str) -> Action:
    return pane_action(name, keys, shown, description, tab="items")


class Items(Pane):
    """A list with filters; enter opens one item in its place."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        _action("open", ("enter",), "enter", "open the item"),
        _action("back", ("escape",), "esc", "back to the list; then no search"),
        _action("next_item", ("n",), "n", "next item"),
        _action("previous_item", ("N",), "N", "previous item"),
        _action("next_filter", ("f",), "f", "next filter"),
        _action("previous_filter", ("F",), "F", "previous filter"),
        _action("next_dataset", ("d",), "d", "next dataset"),
        _action("previous_dataset", ("D",), "D", "previous dataset"),
        _action("next_order", ("o",), "o", "next order"),
        _action("previous_order", ("O",), "O", "previous order"),
        _action("search", ("slash",), "/", "search questions and answers"),
        *checkpoint_actions("items"),
    )
    DEFAULT_CSS = """
    Items #item-list, Items #item-beside { height: 1fr; }
    Items #item-view { width: 2fr; height: 1fr; }
    Items #item-search {
        height: 1; border: none; padding: 0 1; background: $surface; display: none;
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._query = ItemQuery(count=_LOADED)
        self._selected = 0
        self._opened: int | None = None
        self._list = ItemList(id="item-list")
        self._view = ItemView(id="item-view")
        self._picture = PictureFrame(id="item-picture")
        self._beside = Horizontal(self._view, self._picture, id="item-beside")
        self._beside.display = False
        self._search = Input(
            id="item-search",
            placeholder="search…  enter: keep  esc: no search",
            max_length=_LONGEST_SEARCH,
        )
        self._search.can_focus = False  # or it would be given the focus, and with it every key

    def compose(self) -> ComposeResult:
        """Lay out list and item, of which one is displayed, above the line for the search."""
        yield self._list
        yield self._beside
        yield self._search

    # --- what is looked at ----------------------------------------------------------------------

    def on_show(self, event: Show) -> None:
        """Begin to ask."""
        self._ask()

    def on_hide(self, event: Hide) -> None:
        """Stop asking while nobody looks."""
        self._wishes.change(items=None, item_id=None)

    def on_resize(self, event: Resize) -> None:
        """Bring the selected row into view."""
        self.update_view()

    def _ask(self) -> None:
        self._wishes.change(items=self._query, item_id=self._opened)

    def _ask_anew(self, **changes: Any) -> None:
        """Change what the list is about; it begins at its first row."""
        self._query = replace(self._query, **changes, first=0)
        self._selected = 0
        self._ask()
        self.update_view()

    @property
    def _page(self) -> ItemPage | None:
        return self._snapshot.items if self._snapshot else None

    def _is_answered(self, page: ItemPage) -> bool:
        return replace(page.query, first=0) == replace(self._query, first=0)

    def update_view(self) -> None:
        """Hand list and item their parts."""
        snapshot, page = self._snapshot, self._page
        if snapshot is None or not self.size.width:
            return
        answered = page is not None and self._is_answered(page)
        if page is not None and answered:
            self._selected = max(0, min(page.matching - 1, self._selected))
            self._load_view(page)
        choices = Choices(self._query, snapshot.datasets, reading=not answered)
        self._list.show(page, choices, self._selected, self._sentence())
        detail = snapshot.item
        if detail is not None and detail.id != self._opened:
            detail = None
        if self._opened is not None:
            place = f"{self._selected + 1:,} of {page.matching:,}" if page else ""
            self._view.show(detail, page.step if page else 0, place, self._sentence())
            wide = self.size.width >= _LEAST_PICTURE_WIDTH
            shown = detail is not None and not detail.picture.trouble and wide
            self._picture.show(detail.picture.path if detail is not None and shown else None)

    def _load_view(self, page: ItemPage) -> None:
        """Ask for other rows if some in view are not loaded."""
        first, end = self._list.in_view(self._selected, page.matching)
        loaded = page.query.first, page.query.first + len(page.lines)
        if first < loaded[0] or end > loaded[1]:
            start = max(0, (first + end) // 2 - _LOADED // 2)
            if start != self._query.first:
                self._query = replace(self._query, first=start)
                self._ask()

    def _sentence(self) -> str:
        """Return what to say where nothing was read yet."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.source.health == "waiting":
            return "waiting for the engine to create the database…"
        if not any(e.mode != "gold" and e.started_at for e in snapshot.evaluations):
            return "waiting for the first answers of a checkpoint…"
        if getattr(self.app, "paused", False):
            return "painting is paused: space goes on"
        return "reading…"

    # --- actions --------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Select another row, or scroll the item that is open."""
        if self._opened is not None:
            self._view.scroll_rows(by)
        else:
            self._select(self._selected + by)

    def _select(self, index: int) -> None:
        page = self._page
        if page is not None and self._is_answered(page):
            self._selected = max(0, min(page.matching - 1, index))
            self.update_view()

    def _selected_id(self) -> int | None:
        page = self._page
        if page is None or not self._is_answered(page):
            return None
        place = self._selected - page.query.first
        return page.lines[place].id if 0 <= place < len(page.lines) else None

    def do_open(self) -> None:
        """Open the selected item."""
        found = self._selected_id()
        if found is not None:
            self._show_item(found)

    def _show_item(self, item_id: int | None) -> None:
        self._opened = item_id
        self._list.display = item_id is None
        self._beside.display = item_id is not None
        if item_id is None:
            self._picture.show(None)
        self._ask()
        self.update_view()

    def do_back(self) -> None:
        """Close the search line, the item, or end the search: whichever is on top."""
        if self._search.display:
            self._close_search()
            self._ask_anew(search="")
        elif self._opened is not None:
            self._show_item(None)
        elif self._query.search:
            self._ask_anew(search="")

    def _turn(self, by: int) -> None:
        self._select(self._selected + by)
        if self._opened is not None:
            self.do_open()

    def do_next_item(self) -> None:
        """Select, and if one is open open, the next item."""
        self._turn(1)

    def do_previous_item(self) -> None:
        """Select, and if one is open open, the previous item."""
        self._turn(-1)

    def do_next_filter(self) -> None:
        """Take the next filter."""
        self._ask_anew(filter=_after(ITEM_FILTERS, self._query.filter, 1))

    def do_previous_filter(self) -> None:
        """Take the previous filter."""
        self._ask_anew(filter=_after(ITEM_FILTERS, self._query.filter, -1))

    def do_next_order(self) -> None:
        """Take the next order."""
        self._ask_anew(order=_after(ITEM_ORDERS, self._query.order, 1))

    def do_previous_order(self) -> None:
        """Take the previous order."""
        self._ask_anew(order=_after(ITEM_ORDERS, self._query.order, -1))

    def do_next_dataset(self) -> None:
        """Take the next dataset; all of them come after the last one."""
        self._ask_anew(dataset=_after(self._datasets(), self._query.dataset, 1))

    def do_previous_dataset(self) -> None:
        """Take the previous dataset."""
        self._ask_anew(dataset=_after(self._datasets(), self._query.dataset, -1))

    def _datasets(self) -> tuple[str | None, ...]:
        return (None, *(self._snapshot.datasets if self._snapshot else ()))

    def do_older(self) -> None:
        """Show the checkpoint before."""
        choose_checkpoint(self._snapshot, self._wishes, -1)

    def do_newer(self) -> None:
        """Show the checkpoint after."""
        choose_checkpoint(self._snapshot, self._wishes, 1)

    def do_search(self) -> None:
        """Open the line for the search."""
        if self._opened is not None:
            self._show_item(None)
        self._search.display = self._search.can_focus = True
        self._search.value = self._query.search
        self._search.focus()

    def _close_search(self) -> None:
        self._search.display = self._search.can_focus = False
        self.screen.set_focus(None)

    @on(Input.Changed)
    def _search_typed(self, event: Input.Changed) -> None:
        if self._search.display and event.value.strip() != self._query.search:
            self._ask_anew(search=event.value.strip())

    @on(Input.Submitted)
    def _search_kept(self, event: Input.Submitted) -> None:
        self._close_search()

    @on(ItemList.Chosen)
    def _row_clicked(self, message: ItemList.Chosen) -> None:
        """Select the row; the selected one is opened."""
        if message.index == self._selected:
            self.do_open()
        else:
            self._select(message.index)

    @on(ItemList.Turned)
    def _wheel_turned(self, message: ItemList.Turned) -> None:
        self._select(self._selected + message.by)


def _after(values: Sequence[T], value: T, by: int) -> T:
    place = values.index(value) if value in values else 0
    return values[(place + by) % len(values)]
