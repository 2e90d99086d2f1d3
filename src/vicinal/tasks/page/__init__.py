"""The page that `vicinal report`, `vicinal diagnose --html` and `vicinal explore` share.

`content` holds what a page shows, `html` packs it into one file, `browser/` is what runs there: the map is drawn on a
canvas from typed arrays, and texts, neighbours and columns are unpacked when they are first looked at.
"""
