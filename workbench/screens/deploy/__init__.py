"""The Deploy page: a student compared with its teacher and with its int8 form, against limits."""
