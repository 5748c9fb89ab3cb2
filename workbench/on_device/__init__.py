"""The pane in which an exported model fills blanks on the visitor's own device, and the routes to all that it loads."""
