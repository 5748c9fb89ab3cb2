"""The pages of a class: those of participants, the board, the instructor's."""
