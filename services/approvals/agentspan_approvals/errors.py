"""What can go wrong with the view of the requests."""


class ViewDamaged(Exception):
    """The view's file holds something else than was written: `open` makes it anew, and all of it is folded again."""
