"""The engine. Whatever imports a part of it, the constants of what is imported later are noted from here on."""

from server.inline import source_constants

source_constants.follow()
