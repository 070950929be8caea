"""Style of all figures: palette, empty figures, colour bars and PNGs.

Figures do not use pyplot, which shares its current figure across the process and may require a display.

The colours are from Okabe and Ito's palette for all kinds of colour vision. Blue means training or correct; vermilion
means validation or wrong.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lenet._extras import require
from lenet.class_names import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

BLUE, VERMILLION, GREEN, PALE_BLUE = "#0072b2", "#d55e00", "#009e73", "#cfe3f1"
INK, GREY, PALE = "#222222", "#666666", "#dddddd"
DISTINCT = (BLUE, VERMILLION, GREEN, "#cc79a7", "#e69f00", "#56b4e9", INK)  # one for each run in a comparison


def png(figure: "Figure") -> bytes:
    """Render a figure at its own size and resolution, whatever the user's matplotlibrc says."""
    buffer = io.BytesIO()
    require("matplotlib.backends.backend_agg", "train").FigureCanvasAgg(figure).print_png(
        buffer, metadata={"Software": "lenet"}
    )
    return buffer.getvalue()


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty white figure with automatic layout; sizes are in inches, at 150 dots per inch."""
    layout = require("matplotlib.layout_engine", "train").ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure: Figure = require("matplotlib.figure", "train").Figure(
        (width, height), dpi=150, facecolor="white", layout=layout
    )
    return figure


def restyle(ax: "Axes") -> None:
    """Set colours that are visible on white, whatever the user's matplotlib style."""
    ax.set_facecolor("white")
    ax.tick_params(which="both", colors=GREY, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set_color(PALE)


def colormap(*colours: str) -> "Colormap":
    """Return a colour map that interpolates between the given colours."""
    result: Colormap = require("matplotlib.colors", "train").LinearSegmentedColormap.from_list("lenet", colours)
    return result


def color_bar(image: "AxesImage", axes: "list[Axes]", label: str) -> None:
    """Add the colour scale of `image` to the right of `axes`."""
    bar = axes[0].get_figure().colorbar(image, ax=axes, shrink=0.9, pad=0.03)  # type: ignore[union-attr]
    bar.set_label(label, color=INK)
    restyle(bar.ax)


def drawable(names: Sequence[str]) -> list[str]:
    """Return the names of classes or runs as a figure shows them.

    Long names are shortened. A name with a character that the font lacks becomes its number, "#0" and so on.
    """
    manager = require("matplotlib.font_manager", "train")
    font = manager.get_font(manager.findfont(manager.FontProperties()))
    return [
        shortened(name) if all(font.get_char_index(ord(character)) for character in name) else f"#{number}"
        for number, name in enumerate(names)
    ]


def text_width(text: str, size: float, weight: str) -> float:
    """Return the width of a text in points."""
    properties = require("matplotlib.font_manager", "train").FontProperties(size=size, weight=weight)
    paths = require("matplotlib.textpath", "train").text_to_path
    return float(paths.get_text_width_height_descent(text, properties, ismath=False)[0])
