"""The application: pages, chat, run store, background processes and the command line."""
