"""A diagram of the network, like Figure 2 of LeCun, Bottou, Bengio and Haffner (1998)."""

from typing import TYPE_CHECKING, Any, NamedTuple

from lenet._extras import Lazy, require
from lenet.loading import network_class
from lenet.plots.style import BLUE, GREEN, GREY, INK, PALE, VERMILLION, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

patches = Lazy("matplotlib.patches", "train")

# All positions are in pixels of the image, from its lower left corner.
_WIDTH, _HEIGHT, _DPI = 1600, 640, 100
_MIDDLE = 355  # height of the centres of all stages
_UNIT = 4.3  # side of a pixel of a feature map
_MARGIN = 42
_TIMES = "\N{MULTIPLICATION SIGN}"
_LINE = 25  # distance between baselines
_OPERATIONS_Y, _COUNTS_Y = 168, 56
_CONVOLUTION, _WINDOWS, _FULL = f"5{_TIMES}5\nconvolution\n", f"2{_TIMES}2\n", "full\nconnection\n"
_OPERATIONS = {  # of each stage after the input, by network
    None: (
        f"{_CONVOLUTION}padding 2\nsigmoid", f"{_WINDOWS}average\npooling", f"{_CONVOLUTION}sigmoid",
        f"{_WINDOWS}average\npooling", f"{_CONVOLUTION}sigmoid", f"{_FULL}sigmoid", f"{_FULL}softmax",
    ),
    "1998": (
        f"{_CONVOLUTION}tanh", f"{_WINDOWS}subsampling\ntanh", f"{_CONVOLUTION}by Table I\ntanh",
        f"{_WINDOWS}subsampling\ntanh", f"{_CONVOLUTION}tanh", f"{_FULL}tanh", "radial\nbasis\nfunctions",
    ),
}  # fmt: skip
_CELL, _MAX_CELLS = 20, 15  # the units of a longer column are not drawn separately


class _Stage(NamedTuple):
    """The activations of a stage, and the operation that computes them from the previous stage."""

    name: str
    colour: str
    gap: float  # to the previous stage
    operation: str
    field: int = 0  # side of a unit's receptive field in the previous stage; not used if that is a column
    step: float = 0  # from one plane to the next, to the right and down
    planes: int = 1
    side: int = 1  # if 1, the planes are drawn as a column of units
    parameters: int = 0


def _stages(num_classes: int, network: str | None) -> list[_Stage]:
    """Return the stages, with sizes from the layers of the model."""
    outputs = network_class(network)(num_classes=num_classes)._outputs()
    c1, s2, c3, s4, c5, f6, output = _OPERATIONS[network]
    drawn = [
        _Stage("Input", INK, 0, ""),
        _Stage("C1", BLUE, 105, c1, 5, 9),
        _Stage("S2", GREEN, 85, s2, 2, 9),
        _Stage("C3", BLUE, 100, c3, 5, 6),
        _Stage("S4", GREEN, 85, s4, 2, 6),
        _Stage("C5", BLUE, 120, c5, 5),
        _Stage("F6", VERMILLION, 142, f6),
        _Stage("Output", VERMILLION, 142, output),
    ]
    return [
        stage._replace(planes=shape[0], side=(*shape, 1)[1], parameters=count)
        for stage, (_, shape, count) in zip(drawn, outputs, strict=True)
    ]


def architecture(num_classes: int = 10, network: str | None = None) -> bytes:
    """Draw the architecture of a network: feature maps, receptive fields and numbers of parameters.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs, at least 2.
    network : {"1998"}, optional
        "1998" for `lenet.LeNet1998`; by default, `lenet.LeNet5`.

    Returns
    -------
    bytes
        A PNG of 1600 x 640 pixels: a white card with transparent corners, for light and dark pages.

    Raises
    ------
    InputError, InputTypeError
        If `num_classes` is not an integer of at least 2, or not 10 for the network of 1998; if there is no such
        network.
    MissingExtraError
        If matplotlib is not installed.

    Notes
    -----
    The diagram follows Figure 2 of LeCun et al. (1998).

    Examples
    --------
    >>> architecture()[1:4]
    b'PNG'
    """
    return png(_architecture_figure(num_classes, network))


def _architecture_figure(num_classes: int, network: str | None = None) -> "Figure":
    figure: Figure = require("matplotlib.figure", "train").Figure(
        (_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, facecolor="none"
    )
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT))
    ax.set_axis_off()
    round_corners = patches.BoxStyle("round", pad=0, rounding_size=24)
    ax.add_patch(patches.FancyBboxPatch((2, 2), _WIDTH - 4, _HEIGHT - 4, round_corners, fc="white", ec=PALE))
    stages = _stages(num_classes, network)
    x = float(_MARGIN)
    previous: tuple[_Stage, float] | None = None
    for stage in stages:
        x += stage.gap
        _draw_stage(ax, stage, x)
        if previous:
            _draw_connection(ax, *previous, stage, x)
            middle, count = x - stage.gap / 2, f"{stage.parameters:,}" if stage.parameters else "none"
            _write(ax, middle, _OPERATIONS_Y, stage.operation)
            _write(ax, middle, _COUNTS_Y, count, color=GREY)
        previous = stage, x
        x += _extent(stage)[0]
    total = sum(stage.parameters for stage in stages)
    _write(ax, _MARGIN, _COUNTS_Y, f"parameters\n{total:,} in all", ha="left", color=GREY)
    return figure


def _extent(stage: _Stage) -> tuple[float, float]:
    """Return the width and height of a stage in pixels."""
    if stage.side == 1:
        return 24, _CELL * stage.planes if stage.planes <= _MAX_CELLS else min(2.5 * max(stage.planes, 84), 310)
    spread = stage.side * _UNIT + stage.step * (stage.planes - 1)
    return spread, spread


def _front(stage: _Stage, x: float) -> tuple[float, float, float]:
    """Return the left edge, upper edge and side of the front plane, which is the rightmost and lowest."""
    spread, _ = _extent(stage)
    side = stage.side * _UNIT
    return x + spread - side, _MIDDLE - spread / 2 + side, side


def _write(ax: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    """Write lines of text, the first on the baseline `y`."""
    # Line by line, as the line spacing within one text depends on the letters.
    for k, line in enumerate(text.split("\n")):
        ax.text(x, y - k * _LINE, line, **{"ha": "center", "color": INK, "fontsize": 15, **style})


def _draw_stage(ax: "Axes", stage: _Stage, x: float) -> None:
    middle = x + _extent(stage)[0] / 2
    if stage.side == 1:
        _draw_column(ax, stage, x)
        size = f"{stage.planes}"
    else:
        _draw_planes(ax, stage, x)
        size = f"{stage.planes} @ " * (stage.planes != 1) + f"{stage.side}{_TIMES}{stage.side}"
    top = _HEIGHT - 46
    _write(ax, middle, top, stage.name, weight="bold", color=stage.colour, fontsize=17)
    _write(ax, middle, top - 32, size)


def _draw_planes(ax: "Axes", stage: _Stage, x: float) -> None:
    left, top, side = _front(stage, x)
    for k in range(stage.planes - 1, -1, -1):
        corner = left - k * stage.step, top - side + k * stage.step
        ax.add_patch(patches.Rectangle(corner, side, side, fc=_tint(stage.colour), ec=stage.colour, lw=1.2))
    if stage.planes == 1:
        _draw_digit(ax, left, top - side, side)


def _draw_digit(ax: "Axes", x: float, y: float, side: float) -> None:
    """Draw a handwritten 2 in a square."""
    path = require("matplotlib.path", "train").Path
    points = [
        (0.28, 0.68), (0.34, 0.95), (0.76, 0.92), (0.68, 0.62), (0.62, 0.44), (0.42, 0.34), (0.26, 0.19), (0.76, 0.22),
    ]  # fmt: skip
    codes = [path.MOVETO] + 6 * [path.CURVE4] + [path.LINETO]
    stroke = path([(x + side * u, y + side * v) for u, v in points], codes)
    ax.add_patch(patches.PathPatch(stroke, fill=False, ec=INK, lw=7, capstyle="round", joinstyle="round"))


def _draw_column(ax: "Axes", stage: _Stage, x: float) -> None:
    width, height = _extent(stage)
    top = _MIDDLE + height / 2
    ax.add_patch(patches.Rectangle((x, top - height), width, height, fc=_tint(stage.colour), ec=stage.colour, lw=1.2))
    for k in range(stage.planes) if stage.planes <= _MAX_CELLS else ():
        ax.add_patch(patches.Rectangle((x, top - (k + 1) * _CELL), width, _CELL, fc="none", ec=stage.colour, lw=1.2))
        _write(ax, x + width / 2, top - (k + 0.5) * _CELL, f"{k}", va="center", fontsize=10)


def _draw_connection(ax: "Axes", source: _Stage, source_x: float, stage: _Stage, x: float) -> None:
    """Draw the receptive field of one unit of `stage`: a patch of the front plane, or a whole column."""
    if source.side == 1:
        width, height = _extent(source)
        right, upper, lower = source_x + width, _MIDDLE + height / 2, _MIDDLE - height / 2
    else:
        left, top, side = _front(source, source_x)
        patch = stage.field * _UNIT
        right, upper = left + 0.55 * (side - patch) + patch, top - 0.6 * (side - patch)
        lower = upper - patch
        ax.add_patch(patches.Rectangle((right - patch, lower), patch, patch, fc="none", ec=INK, lw=1.2))
    unit_x, unit_y = _unit(stage, x)
    for y in (upper, lower):
        ax.plot([right, unit_x], [y, unit_y], color=INK, linewidth=0.8)
    ax.plot(unit_x, unit_y, "s", color=INK, markersize=3.5)


def _unit(stage: _Stage, x: float) -> tuple[float, float]:
    """Return the position of the unit whose receptive field is drawn."""
    if stage.side == 1:
        height = _extent(stage)[1]
        return x, _MIDDLE + height / 2 - (stage.planes // 4 + 0.5) * height / stage.planes
    left, top, side = _front(stage, x)
    return left + 0.2 * side, top - 0.25 * side


def _tint(colour: str) -> tuple[float, float, float]:
    """Return a light, opaque version of a colour, so that planes hide those behind them."""
    red, green, blue = require("matplotlib.colors", "train").to_rgb(colour)
    return 0.85 + 0.15 * red, 0.85 + 0.15 * green, 0.85 + 0.15 * blue
