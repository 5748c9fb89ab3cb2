"""A prompt to a model, for a participant."""

from workbench.screens.classroom import seat_view
from workbench.screens.shared import views

with views.errors_shown():
    seat_view.ask()
