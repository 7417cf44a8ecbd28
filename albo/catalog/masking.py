"""Addresses as they may be shown: without user and password.

Importing this module is cheap, since the command line passes all that it prints through it.
"""

from __future__ import annotations

import re

_MONGODB = r"mongodb(?:\+srv)?:"
# A password of MongoDB may hold any character, even a slash, a blank or an @. So all before the
# last @ is left out, but only from the address in which that @ stands.
_MONGODB_LOGIN = re.compile(rf"({_MONGODB}/*)(?:(?!{_MONGODB}).)*@", re.IGNORECASE | re.DOTALL)
_MONGODB_OPTIONS = re.compile(rf"({_MONGODB}/*[^\s?]*)\?\S*?(['\":;,.)]*)(?=\s|$)", re.IGNORECASE)
# In any other address the login ends where the host begins, before the first slash.
_LOGIN = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/?#]*@", re.IGNORECASE)


def mask_address(uri: str) -> str:
    """Return the address of a MongoDB without user, password and options.

    With an @ among the options, these may be the end of a password: then only the scheme is shown.
    """
    scheme, _, rest = uri.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options:
        return f"{scheme}://…"
    return f"{scheme}://{place.rpartition('@')[2]}"


def mask_text(text: str) -> str:
    """Return a text with the user and the password left out of each address in it.

    Addresses of MongoDB lose their options too, which may hold secrets. Their scheme may be in any
    case and have any number of slashes: making a path of an address changes them.
    """
    if "@" not in text and "?" not in text:
        return text
    without_login = _LOGIN.sub(r"\1", _MONGODB_LOGIN.sub(r"\1", text))
    return _MONGODB_OPTIONS.sub(r"\1\2", without_login)


def mask_values(content: object) -> object:
    """Return the content of a JSON answer with each text in it masked, keys as well."""
    if isinstance(content, str):
        return mask_text(content)
    if isinstance(content, dict):
        return {mask_values(key): mask_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [mask_values(value) for value in content]
    return content
