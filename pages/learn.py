"""Lessons: ``?lesson=`` names one, the list of all without it."""

from workbench.screens.learn import lesson_view
from workbench.screens.shared import views

with views.errors_shown():
    lesson_view.show()
