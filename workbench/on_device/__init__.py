"""The pane in which an exported model predicts masked tokens on the visitor's own device, and the routes to all that it loads."""
