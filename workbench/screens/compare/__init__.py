"""The Compare page: a pane for each kind of model, and the picker of models above it."""
