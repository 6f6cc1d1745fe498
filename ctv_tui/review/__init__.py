"""``ctv-tui suite review``: a person decides about the items on which annotators don't agree.

The one room of the dashboard that knows ``ctv_engine.construction``: the journal of a build, and
the rules for options. ``queue`` says which items and keeps decisions, ``editing`` what a text may
be, ``queue_list`` and ``draft_view`` draw, ``asking`` holds the dialogs, ``app`` is the whole.
"""
