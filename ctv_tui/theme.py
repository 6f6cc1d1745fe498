"""Colours: a dark and a light theme, safe for colour-blind eyes, and the terminal's own sixteen.

Widgets paint *roles* ("closed", "wait", "dim"); this is the one place where a role gets a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

from rich.style import Style
from textual.theme import Theme

Role = Literal[
    "",
    "strong",
    "dim",
    "frame",
    "title",
    "key",
    "selected",
    "closed",
    "open",
    "gold",
    "closed-band",
    "open-band",
    "load",
    "input",
    "prefill",
    "decode",
    "wait",
    "good",
    "warning",
    "error",
]

Look = Literal["dark", "light", "ansi"]
"""The themes by the names that ``--theme`` takes, in the order in which a key goes through them."""

LOOKS: tuple[Look, ...] = get_args(Look)

DARK = "ctv-dark"
LIGHT = "ctv-light"
ANSI = "ctv-ansi"

_COMMON: Mapping[str, str] = {"strong": "bold", "title": "bold", "key": "bold"}

_DARK: Mapping[str, str] = {
    "dim": "#8a8f98",
    "frame": "#4a4f58",
    "selected": "bold #121212 on #d0d4da",
    "closed": "#56b4e9",
    "open": "#e8743b",
    "gold": "#00b389",
    "closed-band": "#2c5470",
    "open-band": "#6e4430",
    "load": "#8a8f98",
    "input": "#6a7a8c",
    "prefill": "#56b4e9",
    "decode": "#e8743b",
    "wait": "#c8b060",
    "good": "#00b389",
    "warning": "bold #e0b040",
    "error": "bold #ff6b6b",
}

_LIGHT: Mapping[str, str] = {
    "dim": "#5c626c",
    "frame": "#a8adb5",
    "selected": "bold #f8f8f8 on #30343a",
    "closed": "#0072b2",
    "open": "#c24e00",
    "gold": "#007a5a",
    "closed-band": "#a3c9e2",
    "open-band": "#e8c0a4",
    "load": "#5c626c",
    "input": "#7c8a9a",
    "prefill": "#0072b2",
    "decode": "#c24e00",
    "wait": "#8a6d00",
    "good": "#007a5a",
    "warning": "bold #8a6d00",
    "error": "bold #b00020",
}


_ANSI: Mapping[str, str] = {
    "dim": "dim",
    "frame": "dim",
    "selected": "bold reverse",
    "closed": "bright_blue",
    "open": "red",
    "gold": "green",
    "closed-band": "dim bright_blue",
    "open-band": "dim red",
    "load": "dim",
    "input": "dim",
    "prefill": "bright_blue",
    "decode": "red",
    "wait": "yellow",
    "good": "green",
    "warning": "bold yellow",
    "error": "bold red",
}
"""Shades that can be read on a black and on a white background."""

_ROLES: Mapping[Look, Mapping[str, str]] = {"dark": _DARK, "light": _LIGHT, "ansi": _ANSI}


@cache
def role_style(role: Role, look: Look) -> Style:
    """Return what a role looks like; text without a role keeps the theme's own colour."""
    own = _ROLES[look].get(role) or _COMMON.get(role)
    return Style.parse(own) if own else Style.null()


def look_of(theme: Theme) -> Look:
    """Return which set of colours goes with a theme, ours or another."""
    return "ansi" if theme.ansi else "dark" if theme.dark else "light"


def theme_name(look: Look) -> str:
    """Return the name of our theme."""
    return {"dark": DARK, "light": LIGHT, "ansi": ANSI}[look]


def themes() -> tuple[Theme, ...]:
    """Return our themes for Textual."""
    dark = Theme(
        name=DARK,
        primary="#56b4e9",
        secondary="#8a8f98",
        accent="#e8743b",
        success="#00b389",
        warning="#e0b040",
        error="#ff6b6b",
        foreground="#d0d4da",
        background="#121212",
        surface="#181a1d",
        panel="#22252a",
        dark=True,
    )
    light = Theme(
        name=LIGHT,
        primary="#0072b2",
        secondary="#5c626c",
        accent="#c24e00",
        success="#007a5a",
        warning="#8a6d00",
        error="#b00020",
        foreground="#1c1e22",
        background="#f8f8f8",
        surface="#f0f1f3",
        panel="#e4e6ea",
        dark=False,
    )
    ansi = Theme(
        name=ANSI,
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_default",
        accent="ansi_red",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_red",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        variables={
            "ansi-background": "ansi_black",
            "ansi-foreground": "ansi_white",
            "border-blurred": "ansi_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "input-cursor-background": "ansi_black",
            "input-cursor-foreground": "ansi_bright_white",
            "input-cursor-text-style": "none",
            "input-selection-background": "ansi_bright_blue",
            "input-selection-foreground": "ansi_black",
        },
    )
    return dark, light, ansi
