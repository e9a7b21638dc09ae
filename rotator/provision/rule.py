"""One path of a Vault policy: what is allowed there, and which need it serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rule:
    """wrapping: (min_wrapping_ttl, max_wrapping_ttl) of replies that may leave wrapped only; they hold for every
    capability of the path."""

    path: str
    capabilities: tuple[str, ...]
    why: str
    wrapping: tuple[str, str] | None = None


def merged(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """One rule for each path, in the order of the first: of two blocks with one path Vault heeds the last alone."""
    found: dict[str, Rule] = {}
    for rule in rules:
        known = found.setdefault(rule.path, rule)
        if known is not rule:
            capabilities = tuple(dict.fromkeys((*known.capabilities, *rule.capabilities)))
            why = "; ".join(dict.fromkeys((*known.why.split("; "), *rule.why.split("; "))))
            found[rule.path] = replace(known, capabilities=capabilities, why=why)
    return tuple(found.values())


def render(title: str, rules: Iterable[Rule], notes: Iterable[str] = ()) -> str:
    """As HCL. notes: comments below the title."""
    blocks = ["\n".join((f"# {title}; everything that is not listed is denied", *(f"# {note}" for note in notes)))]
    for rule in rules:
        allowed = ", ".join(f'"{one}"' for one in rule.capabilities)
        lines = [f"  capabilities = [{allowed}]"]
        if rule.wrapping is not None:
            shortest, longest = rule.wrapping
            lines += [f'  min_wrapping_ttl = "{shortest}"', f'  max_wrapping_ttl = "{longest}"']
        blocks.append("\n".join((f"# {rule.why}", f'path "{rule.path}" {{', *lines, "}")))
    return "\n\n".join(blocks) + "\n"
