"""The same list in other frameworks, each a small app as its users write it, with production settings.

Each reads the rows once per request, on a connection that stays open, and renders them with the framework's own
templates. They do less than the app they stand beside: no parameters, no ETag, no guard.
"""
