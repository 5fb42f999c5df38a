"""Each option is one that Python knows, and has words."""

import codecs

from templates.imports.reading_options import OPTIONS


def test_every_encoding_is_known_to_python_by_this_name() -> None:
    for name in OPTIONS["encoding"]:
        assert codecs.lookup(name)


def test_every_option_has_words_of_its_own() -> None:
    for options in OPTIONS.values():
        assert "" not in options, "empty is what is found out"
        assert len(set(options.values())) == len(options)
