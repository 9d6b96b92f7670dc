"""What goes wrong with references."""


class ReferenceError(ValueError):
    """A reference that cannot be used; the message says why and how to mend it."""
