"""Basic Reading Distillation, in the order in which data pass through it.

    text            plain text -> paragraphs -> sentences
    prompts         a sentence -> what a teacher is shown
    teachers        oracle, a model that is loaded, a chat server: prompts -> answers
    answer_cache    answers that are kept, by sentence, prompt and teacher
    notes           what is noted of a sentence: entities, questions
    validation      an answer -> notes, or why it was dropped
    annotation      all of it over a corpus, resumable -> an Arrow dataset with provenance
    streams         notes -> documents: original text, with entities, with questions; controls
    tasks, scoring  what a student that has read is measured on, and how
    decontamination items that share words with what is trained on
"""
