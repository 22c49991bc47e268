"""File names that libraries interpret, for tests: with each, everything must work as with a plain name."""

from __future__ import annotations

import re

from hypothesis import strategies as st

ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
# Names by what they contain; each is a single name, without `/`.
NASTY = {
    "spaces": " a  b ",
    "comma": "a,b",
    "percent": "100%",
    "brackets": "[a]",
    "open bracket": "[",
    "star": "*",
    "two stars": "**",
    "question": "a?b",
    "braces": "{a,b}",
    "key": "key=value",
    "partition": "date=2026-11-25",
    "column": "symbol=X",
    "hash": "#a#",
    "colon": "a:b",
    "scheme": "s3:",
    "apostrophe": "it's",
    "quote": 'a"b',
    "dollar": "$HOME",
    "variable": "${DATA_DIR}",
    "semicolon": "a;b&c|d",
    "tilde": "~",
    "dash": "-rf",
    "letters": "é中ＡＢ",
    "long": "x" * 200,
}
# Names that deltalake cannot handle, with the message about each.
REFUSED = {
    "e%20f": "'%20' in it",
    "%2e": "'%2e' in it",
    "a\\b": "a backslash in it",
    "a\nb": r"the control character '\n' in it",
    "a\x1bb": r"the control character '\x1b' in it",
    "\udcff": "bytes in it that are not UTF-8",
}
# Any Unicode text that is not refused; short, because a name has at most 255 bytes.
ANY_NAME = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), min_size=1, max_size=40)
    | st.text("*?[]{}=#%:,;'\"$&|~ !^-+.a1", min_size=1, max_size=40)
).filter(lambda name: name not in {".", ".."} and not ESCAPE.search(name))
