"""What the teacher says of a text: one interface, and the sources behind it (papers: docs/references.md).

    targets    the answer at the positions that count: states with a head, the top k with their tail, or a sample
    source     `TeacherSignals`, which the trainer asks, and the teacher in memory
    forms      answers as arrays that are stored, and back
    manifest   what a cache says of itself: whose answers, in which form, its shards
    cache      those arrays on disk
    cached     a teacher that is queried once: from a cache, else from another source whose answer is kept
    served     a teacher at an address; `server_client` asks its server, `handshake` checks it first
    answering  what a server of our own answers with
    fidelity   how far kept answers are from the live teacher
    manager    caches that are listed, deleted and restored
"""

# What the command line does with caches, and what each action is about.
ACTIONS = {"build": "recipe", "list": "", "show": "key", "verify": "key", "delete": "key", "restore": "key"}
