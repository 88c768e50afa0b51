"""A generator -> colour plates and brightness matrices, which show whether a screen and eyes do.

A plate's digits differ from their ground in hue alone, red against green, with lightness at random.
A matrix has circles and triangles hardly lighter or darker than their squares.
"""

import cv2
import numpy as np

SIDE = 320  # pixels
DOTS = 900
FIGURE, GROUND = (40, 105, 215), (60, 150, 120)  # BGR of the same lightness, roughly
CELLS = 4  # of a matrix, each way
CONTRAST = 14  # levels of a shape against its square


def draw_plate(number: str, random: np.random.Generator) -> np.ndarray:
    """Draw a two-digit number in dots, uint8 BGR [SIDE,SIDE,3]."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 5.2
    (width, height), _ = cv2.getTextSize(number, font, scale, 26)
    place = ((SIDE - width) // 2, (SIDE + height) // 2)
    cv2.putText(mask, number, place, font, scale, 255, 26)
    picture = np.full((SIDE, SIDE, 3), 235, np.uint8)
    for x, y, radius in _place_dots(random):
        colour = np.array(FIGURE if mask[y, x] else GROUND, float)
        shade = colour * random.uniform(0.75, 1.2)
        cv2.circle(picture, (x, y), radius, shade.clip(0, 255).tolist(), -1, cv2.LINE_AA)
    return picture


def draw_matrix(circles: int, triangles: int, random: np.random.Generator) -> np.ndarray:
    """Draw shapes on squares from nearly black to nearly white, uint8 BGR [SIDE,SIDE,3]."""
    cell = SIDE // CELLS
    levels = random.permutation(np.linspace(20, 232, CELLS * CELLS)).round()
    shapes = ["circle"] * circles + ["triangle"] * triangles
    shapes += [""] * (CELLS * CELLS - len(shapes))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for i, name in enumerate(random.permutation(shapes)):
        top, left = i // CELLS * cell, i % CELLS * cell
        picture[top : top + cell, left : left + cell] = levels[i]
        level = (int(levels[i] + random.choice([-CONTRAST, CONTRAST])),) * 3
        x, y, r = left + cell // 2, top + cell // 2, cell // 3
        if name == "circle":
            cv2.circle(picture, (x, y), r, level, -1, cv2.LINE_AA)
        elif name == "triangle":
            corners = np.array([[x, y - r], [x - r, y + r], [x + r, y + r]])
            cv2.fillPoly(picture, [corners], level, cv2.LINE_AA)
    return picture


def _place_dots(random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return x, y, radius of dots in a disc that do not overlap."""
    free = np.full((SIDE, SIDE), 255, np.uint8)
    cv2.circle(free, (SIDE // 2, SIDE // 2), SIDE // 2 - 4, 0, -1)
    free = 255 - free
    dots = []
    for radius in np.sort(random.integers(3, 9, DOTS))[::-1].tolist():
        for _ in range(20):
            x, y = (int(v) for v in random.integers(radius, SIDE - radius, 2))
            spot = free[y - radius : y + radius + 1, x - radius : x + radius + 1]
            if spot.all():
                dots.append((x, y, radius))
                cv2.circle(free, (x, y), radius + 1, 0, -1)
                break
    return dots
