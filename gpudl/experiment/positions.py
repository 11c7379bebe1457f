"""Which line of a TOML file a key stands on, for messages. The file has been parsed before, so its syntax is right."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _parts(dotted: str) -> list[str]:
    found = re.findall(r"\"[^\"]*\"|'[^']*'|[^.\s]+", dotted)
    return [part[1:-1] if part[0] in "\"'" else part for part in found]


_STRING = re.compile(r"""\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|(?P<open>\"{3}|'{3})|"(?:\\.|[^"\\])*"|'[^']*'|#""")


def _scan(text: str) -> tuple[int, str]:
    """Return how many brackets and braces a line leaves open, strings and comments aside, and an open triple quote."""
    depth, place, mark = 0, 0, ""
    while place < len(text) and not mark:
        found = _STRING.match(text, place)
        if found is None:
            depth += (text[place] in "[{") - (text[place] in "]}")
            place += 1
        elif found[0] == "#":
            break
        else:
            mark, place = found["open"] or "", found.end()
    return depth, mark


def line_numbers(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, of every table and key; entries of arrays of tables are numbered from 0."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    depth = 0
    quotes = ""
    for number, line in enumerate(text.split("\n"), 1):
        if quotes:
            _, closing, rest = line.partition(quotes)
            if closing:
                opened, quotes = _scan(rest)
                depth += opened
            continue
        if depth > 0:
            opened, quotes = _scan(line)
            depth += opened
            continue
        if header := _HEADER.match(line):
            table = ()
            names = _parts(header[2])
            for i, name in enumerate(names):
                table = (*table, name)
                if header[1] == "[[" and i == len(names) - 1:
                    counts[table] = counts.get(table, -1) + 1
                    lines.setdefault(table, number)
                if table in counts:
                    table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table
            for name in _parts(key[1]):
                path = (*path, name)
                lines.setdefault(path, number)
            depth, quotes = _scan(line[key.end() :])
    return lines


def nearest_line(lines: dict[Path, int], path: Path) -> int | None:
    """Return the line of a key, or of the innermost table around it that the file has."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def dotted(path: Path) -> str:
    """Write a key's path as a person would: `model.layers[0].filters`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
