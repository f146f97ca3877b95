"""Drawing for tests of pages: what is drawn of equal figures is equal, and most pages show the same few."""

from interpolants.reports.draw import draw

_DRAWN: dict[object, bytes] = {}


def drawn_once(figure, **options):
    """``draw``, once for all equal figures."""
    series = [one for panel in figure.panels for one in panel.series]
    numbers = tuple(array.numpy().tobytes() for one in series for array in one.arrays.values())
    key = (repr((figure, options)), numbers)  # the text of an array is rounded
    if key not in _DRAWN:
        _DRAWN[key] = draw(figure, **options)
    return _DRAWN[key]
