"""Two or three models side by side on the same input: ``?pane=chat|blanks|classes``, ``?models=a,b`` names the models."""

from workbench.screens.compare import compare_view

compare_view.show()
