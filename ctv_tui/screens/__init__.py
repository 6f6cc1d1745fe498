"""One module per tab, each composed of widgets that draw the same frozen snapshot."""
