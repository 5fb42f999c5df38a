"""What a person may say of how a file is to be read: each choice with its options, by the word that stands for one.

The empty word has it found out. The process that reads a file knows the same words
(`app/imports/reading/values/choices.py`).
"""

from collections.abc import Mapping

OPTIONS: dict[str, Mapping[str, str]] = {
    "encoding": {
        "utf-8": "UTF-8",
        "utf-16": "UTF-16",
        "utf-16-le": "UTF-16, little-endian",
        "utf-16-be": "UTF-16, big-endian",
        "cp1252": "Windows-1252, Western European",
        "cp1250": "Windows-1250, Central European",
        "cp1251": "Windows-1251, Cyrillic",
        "cp1253": "Windows-1253, Greek",
        "cp1254": "Windows-1254, Turkish",
        "cp1255": "Windows-1255, Hebrew",
        "cp1256": "Windows-1256, Arabic",
        "cp1257": "Windows-1257, Baltic",
        "cp1258": "Windows-1258, Vietnamese",
        "iso8859-1": "ISO 8859-1, Western European",
        "iso8859-2": "ISO 8859-2, Central European",
        "iso8859-15": "ISO 8859-15, with €",
        "koi8-r": "KOI8-R, Cyrillic",
        "mac-roman": "Mac Roman",
        "cp437": "DOS 437, American",
        "cp850": "DOS 850, Western European",
        "cp866": "DOS 866, Cyrillic",
        "cp932": "Shift JIS, Japanese",
        "euc-jp": "EUC-JP, Japanese",
        "gb18030": "GB 18030, Chinese",
        "big5": "Big5, Chinese",
        "cp949": "EUC-KR, Korean",
    },
    "delimiter": {
        "comma": "commas",
        "semicolon": "semicolons",
        "tab": "tabs",
        "bar": "bars |",
        "colon": "colons",
        "caret": "carets ^",
        "none": "nothing: one column",
    },
    "quotes": {
        "doubled": 'doubled: ""',
        "backslash": 'after a backslash: \\"',
        "none": "letters like others",
    },
    "header": {"yes": "names of columns", "no": "a row already"},
    "order": {"day": "the day: 31/12/2026", "month": "the month: 12/31/2026", "year": "the year: 26-12-31"},
    "serials": {"yes": "days, as spreadsheets count them: 46143 is 1 May 2026"},
}
