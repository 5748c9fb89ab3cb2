"""From teacher to student to int8: what each form of a model costs and loses, and whether that is acceptable.

    record.py      what is found, as JSON
    forms.py       the forms of a model as functions of token ids
    labelled.py    forms scored on labelled texts
    language.py    forms scored on held-out text
    measure.py     all of it, for one student
    acceptance.py  limits on loss, size and latency, and the verdict
"""
