"""A class, for its instructor."""

from workbench.screens.classroom import instructor_view
from workbench.screens.shared import views

with views.errors_shown():
    instructor_view.show()
