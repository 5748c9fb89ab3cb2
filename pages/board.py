"""The board of a class; ``?projector=1`` for a projector."""

from workbench.screens.classroom import board_view
from workbench.screens.shared import views

with views.errors_shown():
    board_view.show()
