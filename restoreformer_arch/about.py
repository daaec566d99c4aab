"""Metadata on a network's training, stored with its weights."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from restoreformer.errors import RestoreFormerError

# What a restored face takes from the degraded one: nothing, brightness and colour, or colour alone.
COLOR_FIXES = ("none", "low", "chroma")
# Fewer different faces do not generalise: a pair trained on 900 did not restore the person.
FEW_FACES = 1000


@dataclass(frozen=True)
class About:
    """Where a network's weights come from; stored under ``about`` in the configuration of its file.

    Attributes:
        trained_on: number of different faces by name of the training set.
        faces_seen: faces that went through the network in training, repeats included; None if unknown.
        face_size: side in pixels of the training faces; None if unknown.
        color_fix: the colour fix that suits the network (``inference/color_fix.py``).
        note: anything a user should know, in one line of at most 200 characters.
        started_from: these attributes of the network that training started from, if it was of the same type.
    """

    trained_on: Mapping[str, int] = field(default_factory=dict)
    faces_seen: int | None = None
    face_size: int | None = None
    color_fix: str = "none"
    note: str = ""
    started_from: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Any, source: str) -> "About":
        """Return what a file stores under ``about``, or a default without it.

        Args:
            stored: the value, None if there is none.
            source: where it is stored, for messages.

        Raises:
            RestoreFormerError: it is not a mapping of these attributes to values of their types.
        """
        if stored is None:
            return cls()
        if not isinstance(stored, Mapping):
            raise RestoreFormerError(f"Expected a mapping as about in {source}, got {type(stored).__name__}.")
        for key, value in stored.items():
            if key not in _CHECKS:
                raise RestoreFormerError(f"Expected {', '.join(_CHECKS)} in about in {source}, got {str(key)[:80]!r}.")
            expected, holds = _CHECKS[key]
            if not holds(value):
                raise RestoreFormerError(f"Expected {expected} as about: {key} in {source}, got {str(value)[:80]!r}.")
        return cls(**stored)

    def stored(self) -> dict[str, Any]:
        """Return the attributes that are set, as plain values."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", {}, "none")}

    @property
    def warning(self) -> str:
        """One line about a network trained on few faces; empty for others."""
        faces = sum(self.trained_on.values())
        if self.faces_seen is not None:
            faces = min(faces, self.faces_seen)
        if not self.trained_on or faces >= FEW_FACES:
            return ""
        count = f"{faces} face{'s' if faces != 1 else ''}"
        if self.started_from:
            return f"This network was fine-tuned on {count}: it may do worse on others than the one it started from."
        return f"This network was trained on {count}: expect nonsense on others."


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and _is_count(v) for k, v in value.items())


# What each attribute must be, in words, and whether a value is.
_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "trained_on": ("counts by name", _are_counts),
    "faces_seen": ("a count", lambda v: v is None or _is_count(v)),
    "face_size": ("a number of pixels", lambda v: v is None or _is_count(v)),
    "color_fix": (f"one of {', '.join(COLOR_FIXES)}", lambda v: v in COLOR_FIXES),
    "note": ("one line of up to 200 characters", lambda v: isinstance(v, str) and v.isprintable() and len(v) <= 200),
    "started_from": ("a mapping", lambda v: isinstance(v, Mapping)),
}
