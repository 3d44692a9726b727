"""Reads a JSON list of texts from stdin and prints, as a JSON list, how iniconfig reads each as the text of a file:
{"sections": {section: {key: [value, line]}}} or {"line": line of the error}. Lines count from 1."""

import json
import sys

from iniconfig import IniConfig

try:
    from iniconfig import ParseError
except ImportError:
    from iniconfig.exceptions import ParseError


def skips_bom():
    try:
        IniConfig("bom", data="\ufeff[section]")
        return True
    except ParseError:
        return False


# Version 1 (Debian 12) stumbles over a BOM, version 2.3 skips one: the only known difference for a text.
# (For a file, version 1 ends lines at CR and LF only; so the text is given as data, as version 2.3 does inside.)
SKIPS_BOM = skips_bom()


def read(text):
    if not SKIPS_BOM and text.startswith("\ufeff"):
        text = text[1:]
    try:
        config = IniConfig("chatmail.ini", data=text)
    except ParseError as error:
        return {"line": error.lineno + 1}
    return {
        "sections": {
            name: {key: [value, config.lineof(name, key)] for key, value in keys.items()}
            for name, keys in config.sections.items()
        }
    }


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
